// The faults that the reference plugin can be built with, one at a time: -DWEFT_FAULT=kName. Each stands for
// a real mistake of net plugins, and a check must catch it.
#pragma once

namespace weft::conform_test {

enum class Fault {
  kNone,
  kBlockingAccept,           // accept waits for the peer
  kBlockingConnect,          // connect waits for the peer
  kStickyHandle,             // listen leaves connect's state in the handle as it was
  kWritesDeviceHandle,       // connect writes through the device handle argument
  kDoneWithoutData,          // a receive of more than 4 KiB is done with its header
  kSendDoneEarly,            // a send is done before its bytes were read
  kRequestNotWritten,        // *request stays as it was when nothing was posted
  kDoneNotWritten,           // *done stays as it was when the request is not complete
  kPropertiesUnfilled,       // latency, and from v9 maxCollBytes, are never set
  kDuplicateNames,           // two devices of one name
  kWritesBeyondMessage,      // the rest of the receive's capacity is zeroed
  kLimitIsError,             // the request beyond the limit is an error
  kZeroByteLost,             // a send of no bytes is done and never sent
  kCloseCrashesInFlight,     // close asserts that nothing is in flight
  kWritesAfterClose,         // a closed receive's buffer is written by a later call
  kIgnoresTags,              // a grouped receive's slots are taken in order
  kWrongSizes,               // the capacity is reported as the size
  kNeedsOtherPolls,          // the oldest request moves only when a younger one is tested
  kTruncates,                // a send larger than its receive is cut short in silence
  kFlushWritesSizes,         // a flush's sizes are written though they are NULL
  kLeaksDescriptors,         // close forgets the socket
  kLeaksMemory,              // close forgets the communicator
  kFinalizeEndsOthers,       // finalize closes the connections of every communicator
  kReceiverMustPoll,         // an acknowledgement leaves with the process's next call, not by itself
  kLateWrite,                // a finished receive's buffer is written again
  kCorruptsLarge,            // one byte of a message beyond 1 MiB is wrong
  kKeepsOptionalRequest,     // 0x1 in *request is left there
  kSecondInitFails,          // init refuses a second communicator
  kThreadOutlivesLibrary,    // a thread runs on after the library was closed
  kHalfOpenCrashesFinalize,  // finalize asserts that nothing is half open
  kRingOfGroups,             // a group taken before an older one costs the next its place, which is an error
  kMissingFunction,          // iflush is NULL in the table
};

// Defined by planted_fault.cc, which alone is compiled once for each fault.
extern const Fault planted_fault;
inline bool has(Fault fault) {
  return planted_fault == fault;
}

}  // namespace weft::conform_test
