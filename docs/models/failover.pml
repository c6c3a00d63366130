/* Failover and fence of one connection, one direction, over two paths: the protocol of transport/multipath as
 * Endpoint has it. README.md says what stands for what.
 *
 * One of these must be given, how bytes get into a receive buffer:
 *   -DFRAMED   the receiver judges a frame's header and then reads the payload straight into place (TCP)
 *   -DDIRECT   the sender's NIC writes into place and asks nobody; the receiver finds the completion later
 *              (verbs)
 * -DFAULTS=n bounds the failures of a run. Every other -D is a planted fault or another design; `check` lists
 * them.
 *
 * Every step is one d_step of one end, and none leads back to an earlier state: all runs end, and I4 is a check
 * of where they end. No fairness is assumed. Control frames have no state of their own: what an end says only
 * grows, is repeated until it is confirmed, and is heard at any time while a path is open for it.
 */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifdef CROSSED_IS_CONFIRMED
#define ACCOUNT_SENT_ONCE
#endif
#if defined(ACK_ACROSS_INCARNATIONS) || defined(COMPLETE_AT_WRITE)
#define ABSOLUTE_COUNTS
#endif

/* Two messages of two chunks: 0 and 1, 2 and 3. Both are received into the same slot and buffer, one after
 * the other. */
#define MESSAGES 2
#define CHUNKS 4
#define MESSAGE(c) ((c) >> 1)
#define PLACE(c) ((c) & 1)
#define ALL_BITS 3

/* The ends of a path. The receiver's end is only kDown or kUp: it waits to be called. */
#define kDown 0   /* given up, and fenced at this end: nothing is sent, nothing that arrives is taken */
#define kProbe 1  /* called again under a new incarnation; not trusted yet */
#define kUp 2

/* A chunk as the sender sees it. */
#define kUnsent 0
#define kLost 1  /* it did not land, and waits to be sent again */
#define kOutstanding 2
#define kAcknowledged 3

/* What lies in a place of the receive buffer: nothing of this message, a message's own bytes (1 + message),
 * or bytes of a send buffer that its owner had reused. */
#define kNothing 0
#define kReused 3

typedef Frame {
  unsigned chunk : 2;
  bit reused;  /* the send had completed when the sender's fence stopped the reading of its buffer */
};

typedef Path {
  unsigned s_state : 2;
  unsigned s_incarnation : 3;
  unsigned r_state : 2;
  unsigned r_incarnation : 3;
  unsigned r_floor : 3;  /* the receiver's promise to let none up to here live, although it saw none */

  /* The data frames of one incarnation, in order, and how far each party has come in them. */
  unsigned frames_incarnation : 3;
  Frame frame[CHUNKS];
  unsigned posted : 3;
  unsigned landed : 3;   /* DIRECT: written into the receiver's memory */
  unsigned counted : 3;  /* taken into account by the receiver: the cumulative acknowledgement */
  unsigned acknowledged : 3;
  bit reading;  /* FRAMED: header of frame[counted] judged, payload under way */
  bit keeping;  /* ... into the receive buffer (not: to be thrown away) */

  bit unresolved;  /* given up with frames outstanding; the receiver's account is awaited */
  unsigned account_incarnation : 3;
  unsigned account : 3;

  bit cut_forward;  /* sender to receiver: nothing arrives any more */
  bit cut_backward;
  bit dead;         /* will never be connected again */

#ifdef RESOLVES_BEFORE_OWN_FENCE
  bit s_fencing;  /* given up, but the send buffers may still be read */
#endif
#ifdef ACK_ACROSS_INCARNATIONS
  unsigned older_counted : 3;
#endif
#ifdef REVIVAL_AWAITS_NOTICES
  unsigned s_heard : 3;
#endif
#ifdef ACCOUNT_SENT_ONCE
  unsigned account_over_incarnation : 3;
  bit crossed;  /* the receiver knows that the sender, too, has given this incarnation up */
#endif
};

Path path[2];
unsigned faults_left : 2 = FAULTS;

unsigned s_credit : 2;  /* messages that the sender knows to be posted */
typedef ChunkState { unsigned is : 2; };
ChunkState s_chunk[CHUNKS];
bit s_complete[MESSAGES];

unsigned r_reported : 2;  /* messages reported complete; also the epoch that the slot is posted with now */
unsigned r_bits : 2;
typedef Place { unsigned holds : 2; };
Place buffer[2];
#ifdef CREDIT_SENT_ONCE
bit credit_path;
unsigned credit_incarnation : 3;
#endif

#define r_credit (r_reported < MESSAGES -> r_reported + 1 : MESSAGES)
/* Once all is done only what still lands is of interest. */
#define FINISHED (r_reported == MESSAGES && s_complete[0] && s_complete[1])

/* What a path-down says: this incarnation and all before are fenced at my end. */
#define S_DEAD_THROUGH(p) (path[p].s_state == kDown -> path[p].s_incarnation : path[p].s_incarnation - 1)
#define R_DEAD_THROUGH(p) (path[p].r_floor >= path[p].r_incarnation -> path[p].r_floor : \
                           (path[p].r_state == kDown -> path[p].r_incarnation : path[p].r_incarnation - 1))

/* Over which paths control frames are heard. What a frame makes known without an answer (credit, an
 * acknowledgement) may as well be heard before the speaker fences the path and acted on later. A path-down
 * acts when it is heard, and may be heard after the speaker has fenced the path that it came over, unless it
 * tells of that very fence. */
#define SAME_INCARNATION(x) (path[x].s_incarnation == path[x].r_incarnation)
#define OPEN_TO_SENDER(x) (path[x].s_state != kDown && SAME_INCARNATION(x) && !path[x].cut_backward)
#define OPEN_TO_RECEIVER(x) (path[x].r_state == kUp && SAME_INCARNATION(x) && !path[x].cut_forward)
#define SENDER_HEARS_OVER(x) (OPEN_TO_SENDER(x) && path[x].r_state == kUp)
#define SENDER_HEARS (SENDER_HEARS_OVER(0) || SENDER_HEARS_OVER(1))
#define SENDER_HEARS_OF(p) (OPEN_TO_SENDER(1 - p) || SENDER_HEARS_OVER(p))
#define RECEIVER_HEARS_OF(p) (OPEN_TO_RECEIVER(1 - p) || (OPEN_TO_RECEIVER(p) && path[p].s_state != kDown))

#ifdef TRUSTS_DEAD_PATHS
#define IS_SILENT(p) false
#else
#define IS_SILENT(p) (path[p].cut_forward || path[p].cut_backward)
#endif

/* Names under which a broken invariant is printed. */
hidden byte I1_exactly_the_bytes_that_were_sent;
hidden byte I2_nothing_lands_after_the_report;
hidden byte I3_a_complete_send_needs_no_resending;
hidden byte I4_every_message_completes;
hidden byte i;
hidden byte had_landed;

/* ---- bytes -------------------------------------------------------------------------------------------- */

#ifdef RESOLVES_BEFORE_OWN_FENCE
#define SENDER_IS_OPEN(p) (path[p].s_state == kUp || path[p].s_fencing)
#else
#define SENDER_IS_OPEN(p) (path[p].s_state == kUp)
#endif

/* Until the sender's fence the send buffer may be read as late as the bytes land. */
#define READ_LATE(p) (SENDER_IS_OPEN(p) && path[p].s_incarnation == path[p].frames_incarnation)
#define CHUNK_OF(p, nth) path[p].frame[nth].chunk
#define LANDS_REUSED(p, nth) (READ_LATE(p) -> s_complete[MESSAGE(CHUNK_OF(p, nth))] : path[p].frame[nth].reused)

/* Only the message that the slot is posted with may be written: none that was reported, none before its
 * credit. */
inline write_into_buffer(p, nth) {
  printf("chunk %d lands from path %d.%d, its send buffer was reused: %d\n", CHUNK_OF(p, nth), p,
         path[p].r_incarnation, LANDS_REUSED(p, nth));
  I2_nothing_lands_after_the_report = MESSAGE(CHUNK_OF(p, nth)) == r_reported;
  assert(I2_nothing_lands_after_the_report);
  buffer[PLACE(CHUNK_OF(p, nth))].holds = (LANDS_REUSED(p, nth) -> kReused : 1 + MESSAGE(CHUNK_OF(p, nth)))
}

inline forget_frame(p, nth) {
  path[p].frame[nth].chunk = 0;
  path[p].frame[nth].reused = 0
}

inline forget_frames(p) {
  path[p].frames_incarnation = 0;
  path[p].posted = 0;
  path[p].acknowledged = 0;
  for (i : 0 .. CHUNKS - 1) {
    forget_frame(p, i)
  }
}

/* A frame that each end has done with leaves the list, and what is counted from the list's start shrinks with
 * it. */
inline drop_first_frame(p) {
  for (i : 0 .. CHUNKS - 2) {
    path[p].frame[i].chunk = path[p].frame[i + 1].chunk;
    path[p].frame[i].reused = path[p].frame[i + 1].reused
  }
  forget_frame(p, CHUNKS - 1);
  path[p].posted--;
  path[p].counted--;
  if
  :: path[p].landed > 0 -> path[p].landed--
  :: else
  fi
}

#ifdef SKIPS_FENCE
#define RECEIVER_IS_OPEN(p) (path[p].r_incarnation != 0)
#else
#define RECEIVER_IS_OPEN(p) (path[p].r_state == kUp)
#endif

/* What neither end will look at again is forgotten, so that states that differ in nothing else are one. */
inline forget_if_settled(p) {
  if
  :: !SENDER_IS_OPEN(p) && !path[p].unresolved &&
     !(RECEIVER_IS_OPEN(p) && path[p].r_incarnation == path[p].frames_incarnation) &&
     !(path[p].r_incarnation < path[p].frames_incarnation) ->
     forget_frames(p)
  :: else
  fi
}

/* A cut says that nothing arrives for ever. Once an end has fenced the path, the other finds out, and what
 * was under way may as well come late. */
inline heal(p) {
  path[p].cut_forward = 0;
  path[p].cut_backward = 0
}

/* ---- sender ------------------------------------------------------------------------------------------- */

/* The receiver has taken it; and no copy of the message waits to be read out of the send buffer. */
#define TAKEN(c) (r_reported > MESSAGE(c) || (r_reported == MESSAGE(c) && ((r_bits >> PLACE(c)) & 1)))
#define COPY_WAITS(p, f, m) (path[p].landed <= f && path[p].counted <= f && f < path[p].posted && \
                             MESSAGE(path[p].frame[f].chunk) == m && SENDER_IS_OPEN(p))
#define COPY_WAITS_ON(p, m) (COPY_WAITS(p, 0, m) || COPY_WAITS(p, 1, m) || COPY_WAITS(p, 2, m) || COPY_WAITS(p, 3, m))

inline complete_send(m) {
  if
  :: !s_complete[m] && s_chunk[2 * m].is == kAcknowledged && s_chunk[2 * m + 1].is == kAcknowledged ->
     printf("send %d completes\n", m);
     I3_a_complete_send_needs_no_resending =
         TAKEN(2 * m) && TAKEN(2 * m + 1) && !COPY_WAITS_ON(0, m) && !COPY_WAITS_ON(1, m);
     assert(I3_a_complete_send_needs_no_resending);
     s_complete[m] = 1
  :: else
  fi
}

inline complete_sends() {
  complete_send(0);
  complete_send(1)
}

inline acknowledge_next_frame(p) {
  printf("sender hears path %d.%d's acknowledgement of chunk %d\n", p, path[p].frames_incarnation,
         path[p].frame[path[p].acknowledged].chunk);
  s_chunk[path[p].frame[path[p].acknowledged].chunk].is = kAcknowledged;
#ifdef ABSOLUTE_COUNTS
  path[p].acknowledged++
#else
  drop_first_frame(p)
#endif
}

/* The first `had_landed` frames have landed, the others have not and never will. */
inline resolve_outstanding(p) {
  for (i : 0 .. CHUNKS - 1) {
    if
    :: path[p].acknowledged <= i && i < path[p].posted && s_chunk[path[p].frame[i].chunk].is == kOutstanding ->
       if
       :: i < had_landed -> s_chunk[path[p].frame[i].chunk].is = kAcknowledged
#ifdef FORGETS_OUTSTANDING_CHUNKS
       :: else
#else
       :: else -> s_chunk[path[p].frame[i].chunk].is = kLost
#endif
       fi
    :: else
    fi;
    path[p].frame[i].reused = i < path[p].posted && s_complete[MESSAGE(path[p].frame[i].chunk)]
  }
}

inline sender_gives_up(p) {
  printf("sender gives path %d.%d up and fences it\n", p, path[p].s_incarnation);
#ifdef RESEND_AT_ONCE
  if
  :: path[p].s_state == kUp ->
     had_landed = 0;
     resolve_outstanding(p);
     do
     :: path[p].counted > 0 && SAME_INCARNATION(p) -> drop_first_frame(p)
     :: else -> break
     od
  :: else
  fi;
#else
  path[p].unresolved = path[p].unresolved || (path[p].s_state == kUp && path[p].acknowledged < path[p].posted);
#endif
#ifdef RESOLVES_BEFORE_OWN_FENCE
  path[p].s_fencing = path[p].s_state == kUp;
#endif
  path[p].s_state = kDown;
  heal(p);
  forget_if_settled(p)
}

#ifdef ACCOUNT_OF_OTHER_INCARNATION
#define ACCOUNT(p) path[p].account
#else
#define ACCOUNT(p) (path[p].account_incarnation == path[p].frames_incarnation -> path[p].account : 0)
#endif

/* The receiver's path-down: how far its fence reaches, and what had landed before. */
inline sender_processes_path_down(p) {
  printf("sender hears that path %d is dead through %d.%d\n", p, p, R_DEAD_THROUGH(p));
#ifdef REVIVAL_AWAITS_NOTICES
  path[p].s_heard = R_DEAD_THROUGH(p);
#endif
  if
  :: path[p].s_state != kDown && path[p].s_incarnation <= R_DEAD_THROUGH(p) -> sender_gives_up(p)
  :: else
  fi;
  if
  :: path[p].unresolved && path[p].frames_incarnation <= R_DEAD_THROUGH(p) ->
     had_landed = ACCOUNT(p);
     printf("and that %d of its frames had landed\n", had_landed);
     resolve_outstanding(p);
     path[p].unresolved = 0;
     forget_if_settled(p)
  :: else
  fi
}

#ifdef REVIVAL_AWAITS_NOTICES
#define PATH_DOWN_IS_NEWS(p) (path[p].s_heard < R_DEAD_THROUGH(p))
#define MAY_CALL(p) (path[p].s_heard >= path[p].s_incarnation)
#else
#define PATH_DOWN_IS_NEWS(p) (S_DEAD_THROUGH(p) < R_DEAD_THROUGH(p) || \
                              (path[p].unresolved && path[p].frames_incarnation <= R_DEAD_THROUGH(p)))
#if defined(NEVER_REVIVES)
#define MAY_CALL(p) false
#elif defined(RESOLVES_BEFORE_OWN_FENCE)
#define MAY_CALL(p) (!path[p].s_fencing)
#else
#define MAY_CALL(p) true
#endif
#endif

#ifdef ACCOUNT_SENT_ONCE
#define FIRST_COPY_HEARD(p) (OPEN_TO_SENDER(1 - p) && \
                             path[1 - p].r_incarnation == path[p].account_over_incarnation)
#ifdef CROSSED_IS_CONFIRMED
#define PATH_DOWN_IS_HEARD(p) (FIRST_COPY_HEARD(p) || (SENDER_HEARS_OF(p) && !path[p].crossed))
#else
#define PATH_DOWN_IS_HEARD(p) FIRST_COPY_HEARD(p)
#endif
#else
#define PATH_DOWN_IS_HEARD(p) SENDER_HEARS_OF(p)
#endif

#ifdef ACK_ACROSS_INCARNATIONS
#define ACK_OF(p) (path[p].older_counted + path[p].counted)
#else
#define ACK_OF(p) path[p].counted
#endif

#define POSTABLE(p, c) (path[p].s_state == kUp && MESSAGE(c) < s_credit && \
                        (s_chunk[c].is == kLost || (s_chunk[c].is == kUnsent && IS_NEXT(p, c))))
/* Paths are alike: a first sending that has the choice may be said to take path 0. */
#define IS_NEXT(p, c) (c == 0 -> p == 0 || path[0].s_state != kUp : s_chunk[c - 1].is != kUnsent)

inline post(p, k) {
  printf("chunk %d is posted on path %d.%d, again: %d\n", k, p, path[p].s_incarnation, s_chunk[k].is == kLost);
  path[p].frame[path[p].posted].chunk = k;
  path[p].frames_incarnation = path[p].s_incarnation;
  path[p].posted++;
#ifdef COMPLETE_AT_WRITE
  s_chunk[k].is = kAcknowledged;
  complete_sends()
#else
  s_chunk[k].is = kOutstanding
#endif
}

#define SENDER_DOUBTS(p) (IS_SILENT(p) || (SAME_INCARNATION(p) && path[p].r_state == kDown) || \
                          path[p].r_floor >= path[p].s_incarnation)

inline trust(p) {
  printf("path %d.%d is up\n", p, path[p].s_incarnation);
  forget_frames(p);
  path[p].s_state = kUp
}

proctype SenderEnd(byte p) {
end:
  do
  :: d_step { POSTABLE(p, 0) -> post(p, 0) }
  :: d_step { POSTABLE(p, 1) -> post(p, 1) }
  :: d_step { POSTABLE(p, 2) -> post(p, 2) }
  :: d_step { POSTABLE(p, 3) -> post(p, 3) }

  :: d_step {
       path[p].s_state == kUp && SENDER_HEARS_OVER(p) && path[p].acknowledged < ACK_OF(p) &&
       path[p].acknowledged < path[p].posted ->
       acknowledge_next_frame(p);
       complete_sends()
     }

  :: d_step {
       !FINISHED && PATH_DOWN_IS_NEWS(p) && PATH_DOWN_IS_HEARD(p) ->
       sender_processes_path_down(p);
       complete_sends()
     }

  /* Silence for too long, a bad completion or a closed socket. */
  :: d_step { !FINISHED && path[p].s_state != kDown && SENDER_DOUBTS(p) -> sender_gives_up(p) }

  :: d_step {
       !FINISHED && path[p].s_state == kDown && !path[p].dead && MAY_CALL(p) ->
       printf("sender calls on path %d.%d\n", p, path[p].s_incarnation + 1);
       path[p].s_state = kProbe;
       path[p].s_incarnation++;
#ifdef DATA_BEFORE_ANSWER
       if
       :: !path[p].unresolved -> trust(p)
       :: else
       fi
#endif
     }
  :: d_step { !FINISHED && path[p].s_state == kProbe && SENDER_HEARS_OVER(p) && !path[p].unresolved -> trust(p) }
  od
}

#ifdef RESOLVES_BEFORE_OWN_FENCE
proctype SenderFence(byte p) {
end:
  do
  :: d_step { path[p].s_fencing -> path[p].s_fencing = 0; forget_if_settled(p) }
  od
}
#endif

proctype SenderCredit() {
end:
  do
  :: d_step {
#ifdef CREDIT_SENT_ONCE
       s_credit < r_credit && SENDER_HEARS_OVER(credit_path) &&
       path[credit_path].r_incarnation == credit_incarnation ->
#else
       s_credit < r_credit && SENDER_HEARS ->
#endif
       printf("sender hears credit for %d messages\n", r_credit);
       s_credit = r_credit
     }
  od
}

/* ---- receiver ----------------------------------------------------------------------------------------- */

inline receiver_fences(p) {
  printf("receiver gives path %d.%d up and fences it; %d frames had landed\n", p, path[p].r_incarnation,
         path[p].counted);
  path[p].r_state = kDown;
  if
  :: path[p].counted > 0 ->
     path[p].account_incarnation = path[p].r_incarnation;
     path[p].account = path[p].counted
  :: else
  fi;
#ifdef ACCOUNT_SENT_ONCE
  path[p].account_over_incarnation = (path[1 - p].r_state == kUp -> path[1 - p].r_incarnation : 0);
  path[p].crossed = S_DEAD_THROUGH(p) >= path[p].r_incarnation;
#endif
#if !defined(SKIPS_FENCE) && !defined(LATE_COMPLETION_COUNTS)
  path[p].landed = 0;
  path[p].reading = 0;
  path[p].keeping = 0;
#endif
  if
  :: SAME_INCARNATION(p) -> heal(p)
  :: else
  fi;
  forget_if_settled(p)
}

inline receiver_processes_path_down(p) {
  printf("receiver hears that path %d is dead through %d.%d\n", p, p, S_DEAD_THROUGH(p));
  if
  :: path[p].r_state == kUp && path[p].r_incarnation <= S_DEAD_THROUGH(p) -> receiver_fences(p)
  :: else
  fi;
  if
  :: path[p].r_incarnation < S_DEAD_THROUGH(p) -> path[p].r_floor = S_DEAD_THROUGH(p); forget_if_settled(p)
  :: else
  fi
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
  r_bits = ((r_bits << 1) | 1) & ALL_BITS  /* merely counts: one bit for each chunk that came */
#else
  r_bits = r_bits | (1 << PLACE(k))
#endif
}

/* The first design's gate, in its strongest form: no report while the sender has given up what is not fenced
 * here. */
#ifdef GATED
#define GATE_IS_OPEN (S_DEAD_THROUGH(0) <= R_DEAD_THROUGH(0) && S_DEAD_THROUGH(1) <= R_DEAD_THROUGH(1))
#else
#define GATE_IS_OPEN true
#endif

#ifdef NO_FLOOR
#define REFUSES(p) false
#else
#define REFUSES(p) (path[p].s_incarnation <= path[p].r_floor)
#endif

/* The frames are of the incarnation that the receiver has open. */
#define FRAMES_ARE_MINE(p) (RECEIVER_IS_OPEN(p) && path[p].r_incarnation == path[p].frames_incarnation)
#define ARRIVES(p) (!SAME_INCARNATION(p) || !path[p].cut_forward)
#define NEXT_CHUNK(p) path[p].frame[path[p].counted].chunk

inline count_frame(p) {
  path[p].counted++;
#ifdef RESEND_AT_ONCE
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
  /* The header is judged once; its payload may come long after it, even from a sender that stopped in
   * between. */
  :: d_step {
       FRAMES_ARE_MINE(p) && ARRIVES(p) && !path[p].reading && path[p].counted < path[p].posted ->
       printf("header of chunk %d on path %d.%d\n", NEXT_CHUNK(p), p, path[p].r_incarnation);
       path[p].reading = 1;
       path[p].keeping = IS_CURRENT(NEXT_CHUNK(p)) && IS_MISSING(NEXT_CHUNK(p));
#ifdef BIT_SET_AT_HEADER
       set_bit(NEXT_CHUNK(p))
#endif
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
       write_into_buffer(p, path[p].landed);
       path[p].landed++
     }
  :: d_step {
#ifdef LATE_COMPLETION_COUNTS
       path[p].r_incarnation == path[p].frames_incarnation && path[p].counted < path[p].landed ->
#else
       FRAMES_ARE_MINE(p) && path[p].counted < path[p].landed ->
#endif
       printf("completion of chunk %d on path %d.%d\n", NEXT_CHUNK(p), p, path[p].r_incarnation);
       if
       :: IS_CURRENT(NEXT_CHUNK(p)) && IS_MISSING(NEXT_CHUNK(p)) -> set_bit(NEXT_CHUNK(p))
       :: else
       fi;
       count_frame(p)
     }
#endif

  /* The call of a higher incarnation says that all lower ones are given up. */
  :: d_step {
       !FINISHED && path[p].s_incarnation > path[p].r_incarnation && !REFUSES(p) && !path[p].cut_forward ->
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
       path[p].reading = 0;
       path[p].keeping = 0;
       forget_if_settled(p)
     }

  :: d_step {
       !FINISHED && R_DEAD_THROUGH(p) < S_DEAD_THROUGH(p) && RECEIVER_HEARS_OF(p) ->
       receiver_processes_path_down(p)
     }

  :: d_step {
       !FINISHED && path[p].r_state == kUp &&
       (IS_SILENT(p) || path[p].s_state == kDown || !SAME_INCARNATION(p)) ->
       receiver_fences(p)
     }
  od
}

/* Reports the message that the slot is posted with, and posts the slot for the next one. */
proctype ReceiverApplication() {
end:
  do
  :: d_step {
       r_reported < MESSAGES && r_bits == ALL_BITS && GATE_IS_OPEN ->
       printf("message %d is reported\n", r_reported);
       I1_exactly_the_bytes_that_were_sent =
           buffer[0].holds == 1 + r_reported && buffer[1].holds == 1 + r_reported;
       assert(I1_exactly_the_bytes_that_were_sent);
       r_reported++;
       r_bits = 0;
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
  /* I4 asks for one path that works, or works again; the other may be gone for good. */
  :: d_step {
       !FINISHED && path[p].s_state == kDown && !path[p].dead && !path[1 - p].dead ->
       printf("path %d will not come back\n", p);
       path[p].dead = 1
     }
#ifdef ENDLESS_FLAPPING
  :: d_step { path[p].s_state == kUp && path[p].r_state == kUp -> path[p].cut_forward = 1 - path[p].cut_forward }
#endif
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
    for (i : 0 .. 1) {
      path[i].s_state = kUp;
      path[i].s_incarnation = 1;
      path[i].r_state = kUp;
      path[i].r_incarnation = 1
    }
#ifdef CREDIT_SENT_ONCE
    credit_incarnation = 1
#endif
  }
  atomic {
    run SenderEnd(0);
    run SenderEnd(1);
#ifdef RESOLVES_BEFORE_OWN_FENCE
    run SenderFence(0);
    run SenderFence(1);
#endif
    run SenderCredit();
    run ReceiverEnd(0);
    run ReceiverEnd(1);
    run ReceiverApplication();
    run Faults(0);
    run Faults(1);
    run Verdict()
  }
}
