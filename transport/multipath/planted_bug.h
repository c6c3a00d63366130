// Bugs that tests build into the core on purpose, to show that the tests would find them
// (tests/multipath/planted_bugs). In every other build WEFT_PLANTED_BUG is 0 and nothing of this remains.
#pragma once

#ifndef WEFT_PLANTED_BUG
#define WEFT_PLANTED_BUG 0
#endif

namespace weft::multipath {

enum class Bug : int {
  kNone = 0,
  kResendsWithoutAccount = 1,     // chunks of a failed path go out again before the peer has said what landed
  kCountsDuplicateChunks = 2,     // a chunk that arrives twice counts twice
  kForgetsOutstandingChunks = 3,  // a failed path's chunks are not sent again
  kSendsCompleteUnacknowledged = 4,     // a send is done when its last chunk was handed over
  kSkipsFence = 5,                      // the account is given although the path is still open for landing
  kNeverRepeatsCredit = 6,              // a lost clear-to-send stays lost
  kNeverRepeatsPathDown = 7,            // a lost path-down stays lost
  kAcknowledgesAcrossIncarnations = 8,  // a revived path keeps its old acknowledgement counter
  kMatchesTagsOutOfOrder = 9,           // the newest credit with a tag is taken instead of the oldest
  kNeverRevives = 10,                   // a bad path is given up for good
  kTrustsDeadPaths = 11,                // silence is never held against a path
  kLosesTruncation = 12,                // an oversized send fails at the sender only
  kIgnoresAccountMask = 13,             // what landed out of order on a failed path is taken for lost
  kAccountOfOtherIncarnation = 14,      // an account is applied whatever incarnation it speaks of
};

constexpr bool planted(Bug bug) {
  return WEFT_PLANTED_BUG == static_cast<int>(bug);
}

}  // namespace weft::multipath
