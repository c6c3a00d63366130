/* Failover and fence of one connection, one direction, over two paths; README.md says what stands for what.
 *
 * Exactly one landing must be chosen with -D (how bytes get into a receive buffer, and how lost chunks go again):
 *   FRAMED         the receiver judges a frame's header, then reads the payload straight into place (TCP)
 *   DIRECT_PLACED  first sendings are remote writes that ask nobody; re-sent chunks go to a buffer of the
 *                  receiver, which places them itself (verbs, re-sending at once)
 *   DIRECT_ASKED   every sending is a remote write; a chunk is re-sent only after the receiver has fenced the
 *                  path and has answered how many of its frames it had (verbs, re-sending a round trip later)
 *   DIRECT_BLIND   every sending is a remote write, re-sent at once. Cannot be right: kept as a fault.
 * FAULTS bounds the failures of a run. Every other -D plants a fault; `check` lists them.
 *
 * Every step is one d_step of one end and none leads back to an earlier state, so all runs end, and I4 is a check
 * of where they end: no fairness is assumed. Control frames hold no state of their own: what an end says grows only,
 * is repeated until it is known, and the other end may hear any part of it at any later time.
 */
#ifndef FAULTS
#define FAULTS 2
#endif
#if defined(DIRECT_PLACED) || defined(DIRECT_ASKED) || defined(DIRECT_BLIND)
#define DIRECT
#endif

#ifdef CROSSED_NOTICE_IS_ANSWER
#define NOTICE_SENT_ONCE
#endif
#if defined(DIRECT_ASKED) || defined(ACK_ACROSS_INCARNATIONS) || defined(COMPLETE_AT_WRITE) || defined(LATE_ACK_COUNTS) || \
    defined(DATA_BEFORE_ANSWER)
#define ABSOLUTE_COUNTS
#endif

/* Message 0 has chunks 0 and 1, message 1 has chunk 2; both are received into the same slot, one after another. */
#define MESSAGES 2
#define CHUNKS 3
#define MESSAGE(c) ((c) >> 1)
#define PLACE(c) ((c) & 1)
#define ALL_BITS(m) ((m) == 0 -> 3 : 1)

/* The ends of a path. The receiver's end is only kDown or kUp: it waits to be called. */
#define kDown 0   /* given up, and fenced at this end: nothing is sent, nothing that arrives is taken */
#define kProbe 1  /* called again under a new incarnation, no answer yet */
#define kUp 2

/* A chunk as the sender sees it. */
#define kUnsent 0
#define kLost 1  /* its path was given up before it was acknowledged */
#define kOutstanding 2
#define kAcknowledged 3

/* What lies in a place of the receive buffer: nothing of this message, a message's own bytes (1 + message), or
 * bytes of a send buffer that its owner had reused. */
#define kNothing 0
#define kReused 3

typedef Frame {
  unsigned chunk : 2;
  unsigned fence_sequence : 2;
  bit resent;
  bit reused;  /* the sender had completed the send when its fence stopped the reading of the send buffer */
};

typedef Path {
  unsigned s_state : 2;
  unsigned s_incarnation : 2;
  unsigned r_state : 2;
  unsigned r_incarnation : 2;

  /* The data frames of one incarnation, in order, and how far each party has come in them. */
  unsigned frames_incarnation : 2;
  Frame frame[CHUNKS];
  unsigned posted : 2;
  unsigned landed : 2;   /* DIRECT: written into the receiver's memory */
  unsigned counted : 2;  /* taken into account by the receiver: the cumulative acknowledgement */
  unsigned acknowledged : 2;
  bit unresolved;  /* DIRECT_ASKED: given up, and the receiver's final count is awaited */
  bit reading;     /* FRAMED: header of frame[counted] taken, payload under way */
  bit keeping;     /* ... into the receive buffer (not: to be thrown away) */
#ifdef ACK_ACROSS_INCARNATIONS
  unsigned older_counted : 2;
#endif

  bit cut_forward;  /* sender to receiver: nothing arrives any more */
  bit cut_backward;
  bit dead;         /* will never be connected again */
};

/* The n-th notice of an end: I have given this incarnation of this path up and fenced it. */
typedef Notice {
  bit path;
  unsigned incarnation : 2;
  unsigned counted : 2;  /* DIRECT_ASKED, the receiver's notices: how many of its frames were had, for ever */
#ifdef NOTICE_SENT_ONCE
  unsigned over_incarnation : 2;
  bit crossed;  /* the receiver's own notice of the same incarnation has come */
#endif
};

Path path[2];
unsigned faults_left : 2 = FAULTS;

Notice s_notice[FAULTS + 1];
unsigned s_notices : 2;
unsigned s_processed : 2;  /* notices of the receiver that the sender has processed */
unsigned s_credit : 2;     /* messages that the sender knows to be posted */
typedef ChunkState { unsigned is : 2; };
ChunkState s_chunk[CHUNKS];
bit s_complete[MESSAGES];

Notice r_notice[FAULTS + 1];
unsigned r_notices : 2;
unsigned r_processed : 2;
unsigned r_reported : 2;  /* messages reported complete; also the epoch that the slot is posted with now */
unsigned r_bits : 2;
unsigned r_fence_sequence : 2;
typedef Place { unsigned holds : 2; };
Place buffer[2];
#ifdef CREDIT_SENT_ONCE
bit credit_path;
unsigned credit_incarnation : 2;
#endif

#define r_credit (r_reported < MESSAGES -> r_reported + 1 : MESSAGES)
/* Once all is done only what still lands is of interest. */
#define FINISHED (r_reported == MESSAGES && s_complete[0] && s_complete[1])

/* Control frames. What is only known, credit and acknowledgements, may as well be heard before the speaker fences
 * the path and acted on later; a notice acts when it is heard, and may be heard after the speaker's fence, unless
 * that very fence is what it tells. */
#define SAME_INCARNATION(x) (path[x].s_incarnation == path[x].r_incarnation)
#define OPEN_TO_SENDER(x) (path[x].s_state != kDown && SAME_INCARNATION(x) && !path[x].cut_backward)
#define OPEN_TO_RECEIVER(x) (path[x].r_state == kUp && SAME_INCARNATION(x) && !path[x].cut_forward)
#define SENDER_HEARS_OVER(x) (OPEN_TO_SENDER(x) && path[x].r_state == kUp)
#define SENDER_HEARS (SENDER_HEARS_OVER(0) || SENDER_HEARS_OVER(1))
#define TELLS(notice, x) (notice.path == x && notice.incarnation == path[x].s_incarnation)
#define NOTICE_TO_SENDER_OVER(x) (OPEN_TO_SENDER(x) && \
                                  (path[x].r_state == kUp || !TELLS(r_notice[s_processed], x)))
#define NOTICE_TO_RECEIVER_OVER(x) (OPEN_TO_RECEIVER(x) && \
                                    (path[x].s_state != kDown || !TELLS(s_notice[r_processed], x)))
#define SENDER_HEARS_NOTICE (NOTICE_TO_SENDER_OVER(0) || NOTICE_TO_SENDER_OVER(1))
#define RECEIVER_HEARS_NOTICE (NOTICE_TO_RECEIVER_OVER(0) || NOTICE_TO_RECEIVER_OVER(1))

/* Names under which a broken invariant is printed. */
hidden byte I1_exactly_the_bytes_that_were_sent;
hidden byte I2_nothing_lands_after_the_report;
hidden byte I3_a_complete_send_needs_no_resending;
hidden byte I4_every_message_completes;
hidden byte only_into_posted_buffers;
hidden byte i;
hidden byte n;

/* ---- bytes -------------------------------------------------------------------------------------------- */

/* Until the sender's fence the send buffer may be read as late as the bytes land. */
#ifdef NO_SENDER_FENCE
#define READ_LATE(p) true
#else
#define READ_LATE(p) (path[p].s_state == kUp && path[p].s_incarnation == path[p].frames_incarnation)
#endif
#define LANDING_CHUNK(p, nth) path[p].frame[nth].chunk
#define LANDS_REUSED(p, nth) (READ_LATE(p) -> s_complete[MESSAGE(LANDING_CHUNK(p, nth))] : path[p].frame[nth].reused)

inline write_into_buffer(p, nth) {
  printf("chunk %d lands from path %d.%d, send buffer reused: %d\n", LANDING_CHUNK(p, nth), p,
         path[p].r_incarnation, LANDS_REUSED(p, nth));
  I2_nothing_lands_after_the_report = MESSAGE(LANDING_CHUNK(p, nth)) >= r_reported;
  assert(I2_nothing_lands_after_the_report);
  only_into_posted_buffers = MESSAGE(LANDING_CHUNK(p, nth)) == r_reported;
  assert(only_into_posted_buffers);
  buffer[PLACE(LANDING_CHUNK(p, nth))].holds =
      (LANDS_REUSED(p, nth) -> kReused : 1 + MESSAGE(LANDING_CHUNK(p, nth)))
}

inline forget_frame(p, nth) {
  path[p].frame[nth].chunk = 0;
  path[p].frame[nth].fence_sequence = 0;
  path[p].frame[nth].resent = 0;
  path[p].frame[nth].reused = 0
}

/* A cut says that nothing arrives for ever. Once an end has fenced the path, the other finds out, and what was under
 * way may as well come late. */
inline heal(p) {
  path[p].cut_forward = 0;
  path[p].cut_backward = 0
}

/* A frame that each end has done with leaves the list, and what is counted from the list's start shrinks with it. */
inline drop_first_frame(p) {
#ifndef ABSOLUTE_COUNTS
  for (i : 0 .. CHUNKS - 2) {
    path[p].frame[i].chunk = path[p].frame[i + 1].chunk;
    path[p].frame[i].fence_sequence = path[p].frame[i + 1].fence_sequence;
    path[p].frame[i].resent = path[p].frame[i + 1].resent;
    path[p].frame[i].reused = path[p].frame[i + 1].reused
  }
  forget_frame(p, CHUNKS - 1);
  path[p].posted--;
  path[p].counted--;
  if
  :: path[p].landed > 0 -> path[p].landed--
  :: else
  fi
#endif
}

/* What neither end will look at again is forgotten, so that states that differ in nothing else are one. */
inline forget_if_settled(p) {
  if
  :: path[p].s_state != kUp && !path[p].unresolved &&
     !(path[p].r_state == kUp && path[p].r_incarnation == path[p].frames_incarnation) &&
     !(path[p].r_incarnation < path[p].frames_incarnation) ->
     path[p].frames_incarnation = 0;
     path[p].posted = 0;
     path[p].acknowledged = 0;
     for (i : 0 .. CHUNKS - 1) {
       forget_frame(p, i)
     }
  :: else
  fi
}

/* ---- sender ------------------------------------------------------------------------------------------- */

/* Each of its chunks has been taken by the receiver, and no copy waits to be read out of the send buffer. */
#define TAKEN(c) (r_reported > MESSAGE(c) || (r_reported == MESSAGE(c) && ((r_bits >> PLACE(c)) & 1)))
#define COPY_WAITS(p, f, m) (path[p].landed <= f && path[p].counted <= f && f < path[p].posted && \
                             MESSAGE(path[p].frame[f].chunk) == m && path[p].s_state == kUp)
#define NO_COPY_WAITS(m) !(COPY_WAITS(0, 0, m) || COPY_WAITS(0, 1, m) || COPY_WAITS(0, 2, m) || \
                           COPY_WAITS(1, 0, m) || COPY_WAITS(1, 1, m) || COPY_WAITS(1, 2, m))

inline complete_sends() {
  if
  :: !s_complete[0] && s_chunk[0].is == kAcknowledged && s_chunk[1].is == kAcknowledged ->
     printf("send 0 completes\n");
     I3_a_complete_send_needs_no_resending = TAKEN(0) && TAKEN(1) && NO_COPY_WAITS(0);
     assert(I3_a_complete_send_needs_no_resending);
     s_complete[0] = 1
  :: else
  fi;
  if
  :: !s_complete[1] && s_chunk[2].is == kAcknowledged ->
     printf("send 1 completes\n");
     I3_a_complete_send_needs_no_resending = TAKEN(2) && NO_COPY_WAITS(1);
     assert(I3_a_complete_send_needs_no_resending);
     s_complete[1] = 1
  :: else
  fi
}

inline acknowledge_next_frame(p) {
  printf("sender hears path %d.%d's acknowledgement of chunk %d\n", p, path[p].frames_incarnation,
         path[p].frame[path[p].acknowledged].chunk);
  s_chunk[path[p].frame[path[p].acknowledged].chunk].is = kAcknowledged;
#ifdef ABSOLUTE_COUNTS
  if
  :: path[p].acknowledged < path[p].counted -> forget_frame(p, path[p].acknowledged)
  :: else
  fi;
  path[p].acknowledged = path[p].acknowledged + 1
#else
  drop_first_frame(p)
#endif
}

inline lose_unacknowledged_frames(p) {
  for (i : 0 .. CHUNKS - 1) {
    if
    :: path[p].acknowledged <= i && i < path[p].posted ->
       path[p].frame[i].reused = s_complete[MESSAGE(path[p].frame[i].chunk)];
       if
       :: s_chunk[path[p].frame[i].chunk].is == kOutstanding -> s_chunk[path[p].frame[i].chunk].is = kLost
       :: else
       fi
    :: else
    fi
  }
}

inline sender_gives_up(p) {
  printf("sender gives path %d.%d up, notice %d\n", p, path[p].s_incarnation, s_notices + 1);
#ifdef DIRECT_ASKED
  path[p].unresolved = path[p].unresolved || (path[p].s_state == kUp && path[p].acknowledged < path[p].posted);
#else
  if
  :: path[p].s_state == kUp -> lose_unacknowledged_frames(p)
  :: else
  fi;
#endif
#ifndef ABSOLUTE_COUNTS
  if
  :: path[p].s_state == kUp ->
     do
     :: path[p].counted > 0 -> drop_first_frame(p)
     :: else -> break
     od
  :: else
  fi;
#endif
  path[p].s_state = kDown;
  heal(p);
  s_notice[s_notices].path = p;
  s_notice[s_notices].incarnation = path[p].s_incarnation;
#ifdef NOTICE_SENT_ONCE
  s_notice[s_notices].over_incarnation = (path[1 - p].s_state == kUp -> path[1 - p].s_incarnation : 0);
#endif
  s_notices = s_notices + 1;
  forget_if_settled(p)
}

inline note_crossing_notices() {
  for (i : 0 .. FAULTS - 1) {
    if
    :: i < s_notices && s_notice[i].path == n && s_notice[i].incarnation == r_notice[s_processed].incarnation ->
       s_notice[i].crossed = 1
    :: else
    fi
  }
}

inline sender_processes_next_notice() {
  n = r_notice[s_processed].path;
#ifdef CROSSED_NOTICE_IS_ANSWER
  note_crossing_notices();
#endif
  printf("sender processes notice %d, path %d.%d\n", s_processed + 1, n, r_notice[s_processed].incarnation);
  if
  :: path[n].s_state != kDown && path[n].s_incarnation == r_notice[s_processed].incarnation -> sender_gives_up(n)
  :: else
  fi;
#ifdef DIRECT_ASKED
  if
  :: path[n].unresolved && path[n].frames_incarnation == r_notice[s_processed].incarnation ->
     do
     :: path[n].acknowledged < r_notice[s_processed].counted -> acknowledge_next_frame(n)
     :: else -> break
     od;
     lose_unacknowledged_frames(n);
     path[n].unresolved = 0;
     forget_if_settled(n)
  :: else
  fi;
#endif
  r_notice[s_processed].path = 0;
  r_notice[s_processed].incarnation = 0;
  r_notice[s_processed].counted = 0;
  s_processed = s_processed + 1
}

#ifdef ACK_ACROSS_INCARNATIONS
#define ACK_OF(p) (path[p].older_counted + path[p].counted)
#else
#define ACK_OF(p) path[p].counted
#endif

#ifdef LATE_ACK_COUNTS
#define ACK_IS_TAKEN(p) (path[p].frames_incarnation == path[p].r_incarnation)
#else
#define ACK_IS_TAKEN(p) (path[p].s_state == kUp && path[p].s_incarnation == path[p].r_incarnation)
#endif

#ifdef REVIVAL_AWAITS_NOTICES
#define MAY_CALL(p) (r_processed == s_notices && s_processed == r_notices && path[p].r_state == kDown)
#else
#define MAY_CALL(p) true
#endif

#define POSTABLE(p, c) (path[p].s_state == kUp && MESSAGE(c) < s_credit && \
                        (s_chunk[c].is == kLost || (s_chunk[c].is == kUnsent && IS_NEXT(p, c))))
/* Paths are alike: a first sending that has the choice may be said to take path 0. */
#define IS_NEXT(p, c) (c == 0 -> p == 0 || path[0].s_state != kUp : s_chunk[c - 1].is != kUnsent)

inline post(p, k) {
  printf("chunk %d is posted on path %d.%d, again: %d\n", k, p, path[p].s_incarnation, s_chunk[k].is == kLost);
  path[p].frame[path[p].posted].chunk = k;
  path[p].frame[path[p].posted].resent = (s_chunk[k].is == kLost);
  path[p].frame[path[p].posted].fence_sequence = (s_chunk[k].is == kLost -> s_notices : 0);
  path[p].frames_incarnation = path[p].s_incarnation;
  path[p].posted = path[p].posted + 1;
#ifdef COMPLETE_AT_WRITE
  s_chunk[k].is = kAcknowledged;
  complete_sends()
#else
  s_chunk[k].is = kOutstanding
#endif
}

proctype SenderEnd(byte p) {
end:
  do
  :: d_step { POSTABLE(p, 0) -> post(p, 0) }
  :: d_step { POSTABLE(p, 1) -> post(p, 1) }
  :: d_step { POSTABLE(p, 2) -> post(p, 2) }

  /* Every frame header has room for an acknowledgement of any path, so it is heard over whichever works. */
  :: d_step {
       ACK_IS_TAKEN(p) && SENDER_HEARS && path[p].acknowledged < ACK_OF(p) &&
       path[p].acknowledged < path[p].posted ->
       acknowledge_next_frame(p);
       complete_sends()
     }

  /* Its own deadline, a bad completion or a closed socket. */
  :: d_step {
       !FINISHED && path[p].s_state != kDown &&
       (path[p].cut_forward || path[p].cut_backward ||
        (path[p].r_incarnation == path[p].s_incarnation && path[p].r_state == kDown)) ->
       sender_gives_up(p)
     }

  :: d_step {
       !FINISHED && path[p].s_state == kDown && !path[p].dead && MAY_CALL(p) ->
       printf("sender calls on path %d.%d\n", p, path[p].s_incarnation + 1);
       path[p].s_state = kProbe;
       path[p].s_incarnation = path[p].s_incarnation + 1;
#ifdef DATA_BEFORE_ANSWER
       if
       :: path[p].posted == 0 -> path[p].s_state = kUp
       :: else
       fi
#endif
     }
  /* The answer carries all notices of the receiver, so the old incarnation's final count is known. */
  :: d_step {
       !FINISHED && path[p].s_state == kProbe && SENDER_HEARS_OVER(p) && !path[p].unresolved ->
       printf("path %d.%d is up\n", p, path[p].s_incarnation);
       path[p].s_state = kUp
     }
  od
}

proctype SenderHears() {
end:
  do
  :: d_step {
#ifdef CREDIT_SENT_ONCE
       s_credit < r_credit && SENDER_HEARS_OVER(credit_path) && path[credit_path].r_incarnation == credit_incarnation ->
#else
       s_credit < r_credit && SENDER_HEARS ->
#endif
       printf("sender hears credit for %d messages\n", r_credit);
       s_credit = r_credit
     }
  :: d_step {
       !FINISHED && s_processed < r_notices && SENDER_HEARS_NOTICE ->
       sender_processes_next_notice();
       complete_sends()
     }
  od
}

/* ---- receiver ----------------------------------------------------------------------------------------- */

inline receiver_fences(p) {
  printf("receiver fences path %d.%d, notice %d\n", p, path[p].r_incarnation, r_notices + 1);
  path[p].r_state = kDown;
  if
  :: path[p].s_incarnation == path[p].r_incarnation -> heal(p)
  :: else
  fi;
  r_notice[r_notices].path = p;
  r_notice[r_notices].incarnation = path[p].r_incarnation;
#ifdef DIRECT_ASKED
  r_notice[r_notices].counted = path[p].counted;
#endif
  r_notices = r_notices + 1;
#ifndef LATE_COMPLETION_COUNTS
  path[p].landed = 0;
#endif
  path[p].reading = 0;
  path[p].keeping = 0;
  forget_if_settled(p)
}

inline receiver_processes_next_notice() {
#ifdef NOTICES_OUT_OF_ORDER
  if
  :: (OPEN_TO_RECEIVER(0) && path[0].s_state != kDown) || (OPEN_TO_RECEIVER(1) && path[1].s_state != kDown) ->
     r_processed = s_notices - 1
  :: else
  fi;
#endif
  n = s_notice[r_processed].path;
  printf("receiver processes notice %d, path %d.%d\n", r_processed + 1, n, s_notice[r_processed].incarnation);
#if !defined(NO_FENCE) && !defined(SENDER_FENCES_ALONE)
  if
  :: path[n].r_state == kUp && path[n].r_incarnation == s_notice[r_processed].incarnation -> receiver_fences(n)
  :: else
  fi;
#endif
  s_notice[r_processed].path = 0;
  s_notice[r_processed].incarnation = 0;
  r_processed = r_processed + 1
}

#ifdef NO_EPOCH
#define IS_CURRENT(c) (r_reported < MESSAGES)
#else
#define IS_CURRENT(c) (MESSAGE(c) == r_reported)
#endif

#ifdef NO_BITMAP
#define IS_MISSING(c) true
#else
#define IS_MISSING(c) (!((r_bits >> PLACE(c)) & 1))
#endif

inline set_bit(k) {
#ifdef NO_BITMAP
  r_bits = ((r_bits << 1) | 1) & 3  /* merely counts: one bit for each chunk that came */
#else
  r_bits = r_bits | (1 << PLACE(k))
#endif
}

inline see_fence_sequence(seen) {
  if
  :: r_fence_sequence < seen -> r_fence_sequence = seen
  :: else
  fi
}

#if defined(NO_FENCE) || defined(NO_GATE) || defined(DIRECT_ASKED)
#define GATE_IS_OPEN true
#else
#define GATE_IS_OPEN (r_fence_sequence <= r_processed)
#endif

#ifdef NO_READING_GATE
#define NOBODY_READS true
#else
#define NOBODY_READS (!path[0].keeping && !path[1].keeping)
#endif

/* The frame that the receiver takes next belongs to the incarnation that it has open. */
#define FRAMES_ARE_MINE(p) (path[p].r_state == kUp && path[p].r_incarnation == path[p].frames_incarnation)
#define ARRIVES(p) (path[p].s_incarnation != path[p].r_incarnation || !path[p].cut_forward)
#define NEXT_CHUNK(p) path[p].frame[path[p].counted].chunk

inline count_frame(p) {
  path[p].counted++;
#ifndef ABSOLUTE_COUNTS
  if
  :: path[p].s_state != kUp || path[p].s_incarnation != path[p].frames_incarnation -> drop_first_frame(p)
  :: else
  fi
#endif
}

proctype ReceiverEnd(byte p) {
end:
  do
#ifdef FRAMED
  /* The header is judged once; its payload may come long after it, even from a sender that stopped in between. */
  :: d_step {
       FRAMES_ARE_MINE(p) && ARRIVES(p) && !path[p].reading && path[p].counted < path[p].posted ->
       printf("header of chunk %d on path %d.%d\n", NEXT_CHUNK(p), p, path[p].r_incarnation);
       path[p].reading = 1;
       if
       :: IS_CURRENT(NEXT_CHUNK(p)) ->
          path[p].keeping = IS_MISSING(NEXT_CHUNK(p));
          see_fence_sequence(path[p].frame[path[p].counted].fence_sequence);
#ifdef BIT_SET_AT_HEADER
          set_bit(NEXT_CHUNK(p));
#endif
       :: else
       fi
     }
  :: d_step {
       FRAMES_ARE_MINE(p) && ARRIVES(p) && path[p].reading ->
       if
       :: path[p].keeping ->
          write_into_buffer(p, path[p].counted);
          set_bit(NEXT_CHUNK(p));
#ifdef READERS_TURN_AWAY
          if
          :: path[1 - p].reading && NEXT_CHUNK(1 - p) == NEXT_CHUNK(p) -> path[1 - p].keeping = 0
          :: else
          fi
#endif
       :: else
       fi;
       path[p].reading = 0;
       path[p].keeping = 0;
       count_frame(p)
     }
#endif
#ifdef DIRECT
  /* The write, of which no software of this end knows; and then its completion being taken from the queue. */
  :: d_step {
       FRAMES_ARE_MINE(p) && ARRIVES(p) && path[p].landed < path[p].posted ->
#ifdef DIRECT_PLACED
       if
       :: !path[p].frame[path[p].landed].resent -> write_into_buffer(p, path[p].landed)
       :: else
       fi;
#else
       write_into_buffer(p, path[p].landed);
#endif
       path[p].landed = path[p].landed + 1
     }
  :: d_step {
#ifdef LATE_COMPLETION_COUNTS
       path[p].r_incarnation == path[p].frames_incarnation && path[p].counted < path[p].landed ->
#else
       FRAMES_ARE_MINE(p) && path[p].counted < path[p].landed ->
#endif
       printf("completion of chunk %d on path %d.%d\n", NEXT_CHUNK(p), p, path[p].r_incarnation);
       if
       :: IS_CURRENT(NEXT_CHUNK(p)) ->
          see_fence_sequence(path[p].frame[path[p].counted].fence_sequence);
          if
          :: IS_MISSING(NEXT_CHUNK(p)) ->
#ifdef DIRECT_PLACED
             if
             :: path[p].frame[path[p].counted].resent -> write_into_buffer(p, path[p].counted)
             :: else
             fi;
#endif
             set_bit(NEXT_CHUNK(p))
          :: else
          fi
       :: else
       fi;
       count_frame(p)
     }
#endif

  /* The hello of a higher incarnation says that all lower ones are given up. */
  :: d_step {
       !FINISHED && path[p].s_incarnation > path[p].r_incarnation && !path[p].cut_forward ->
       if
       :: path[p].r_state == kUp -> receiver_fences(p)
       :: else
       fi;
       printf("receiver answers on path %d.%d\n", p, path[p].s_incarnation);
       path[p].r_state = kUp;
       path[p].r_incarnation = path[p].s_incarnation;
#ifdef ACK_ACROSS_INCARNATIONS
       path[p].older_counted = path[p].older_counted + path[p].counted;
#endif
       path[p].landed = 0;
       path[p].counted = 0;
       forget_if_settled(p)
     }

  :: d_step {
       !FINISHED && path[p].r_state == kUp &&
       (path[p].cut_forward || path[p].cut_backward || path[p].s_state == kDown ||
        path[p].s_incarnation > path[p].r_incarnation) ->
       receiver_fences(p)
     }
  od
}

#ifdef NOTICE_SENT_ONCE
#define NOTICE_OVER (1 - s_notice[r_processed].path)
#define FIRST_COPY_IS_HEARD (NOTICE_TO_RECEIVER_OVER(NOTICE_OVER) && \
                             path[NOTICE_OVER].r_incarnation == s_notice[r_processed].over_incarnation)
#ifdef CROSSED_NOTICE_IS_ANSWER
#define NOTICE_IS_HEARD (FIRST_COPY_IS_HEARD || (RECEIVER_HEARS_NOTICE && !s_notice[r_processed].crossed))
#else
#define NOTICE_IS_HEARD FIRST_COPY_IS_HEARD
#endif
#else
#define NOTICE_IS_HEARD RECEIVER_HEARS_NOTICE
#endif

proctype ReceiverHears() {
end:
  do
  :: d_step { !FINISHED && r_processed < s_notices && NOTICE_IS_HEARD -> receiver_processes_next_notice() }
  od
}

/* Reports the message that the slot is posted with, and posts the slot for the next one. */
proctype ReceiverApplication() {
end:
  do
  :: d_step {
       r_reported < MESSAGES && r_bits == ALL_BITS(r_reported) && GATE_IS_OPEN && NOBODY_READS ->
       printf("message %d is reported\n", r_reported);
       I1_exactly_the_bytes_that_were_sent =
           buffer[0].holds == 1 + r_reported && (r_reported == 1 || buffer[1].holds == 1 + r_reported);
       assert(I1_exactly_the_bytes_that_were_sent);
       r_reported = r_reported + 1;
       r_bits = 0;
       r_fence_sequence = 0;
       buffer[0].holds = kNothing;
       buffer[1].holds = kNothing;
#ifdef CREDIT_SENT_ONCE
       credit_path = (path[0].r_state == kUp -> 0 : 1);
       credit_incarnation = path[credit_path].r_incarnation
#endif
     }
  od
}

/* ---- faults ------------------------------------------------------------------------------------------- */

#define FAULT_IS_DUE (faults_left > 0 && !FINISHED)
#define CUTTABLE(p) (FAULT_IS_DUE && path[p].s_state != kDown && \
                     (path[p].s_incarnation > path[p].r_incarnation || path[p].r_state == kUp))

proctype Faults(byte p) {
end:
  do
  :: d_step { FAULT_IS_DUE && path[p].s_state != kDown -> faults_left--; sender_gives_up(p) }
  :: d_step { FAULT_IS_DUE && path[p].r_state == kUp -> faults_left--; receiver_fences(p) }
  :: d_step {
       CUTTABLE(p) && !path[p].cut_forward ->
       printf("path %d is cut towards the receiver\n", p);
       faults_left--;
       path[p].cut_forward = 1
     }
  :: d_step {
       CUTTABLE(p) && !path[p].cut_backward ->
       printf("path %d is cut towards the sender\n", p);
       faults_left--;
       path[p].cut_backward = 1
     }
  :: d_step {
       CUTTABLE(p) && !path[p].cut_forward && !path[p].cut_backward ->
       printf("path %d is cut both ways\n", p);
       faults_left--;
       path[p].cut_forward = 1;
       path[p].cut_backward = 1
     }
  /* For good. I4 asks for one path that works, or works again. */
  :: d_step {
       !FINISHED && path[p].s_state == kDown && !path[p].dead && !path[1 - p].dead ->
       printf("path %d is dead\n", p);
       path[p].dead = 1
     }
  od
}

proctype Verdict() {
end:
  timeout && !FINISHED ->
  I4_every_message_completes = false;
  assert(I4_every_message_completes)
}

init {
  d_step {
    path[0].s_state = kUp;
    path[0].s_incarnation = 1;
    path[0].r_state = kUp;
    path[0].r_incarnation = 1;
    path[1].s_state = kUp;
    path[1].s_incarnation = 1;
    path[1].r_state = kUp;
    path[1].r_incarnation = 1;
#ifdef CREDIT_SENT_ONCE
    credit_incarnation = 1
#endif
  }
  atomic {
    run SenderEnd(0);
    run SenderEnd(1);
    run SenderHears();
    run ReceiverEnd(0);
    run ReceiverEnd(1);
    run ReceiverHears();
    run ReceiverApplication();
    run Faults(0);
    run Faults(1);
    run Verdict()
  }
}
