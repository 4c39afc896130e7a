/* slipring for C firmware: the layout of a row, publishing in a ring, and the
 * microcontroller's side of a link.
 *
 * Made by `cargo xtask c --write` from slipring-core; `cargo xtask check` compares the two. */

#ifndef SLIPRING_H
#define SLIPRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A slot of the ring, in words of 32 bits: where each is. */
#define SLIPRING_SLOT_WORDS 16u
#define SLIPRING_SLOT_STATUS 0u
#define SLIPRING_SLOT_OPCODE 1u
#define SLIPRING_SLOT_TENANT 2u
#define SLIPRING_SLOT_PRIORITY 3u
#define SLIPRING_SLOT_FIRST_ARG 4u
#define SLIPRING_SLOT_ARGS 12u

/* What a status word says in its low byte; a detail is in the next one. */
#define SLIPRING_STATUS_EMPTY 0u
#define SLIPRING_STATUS_PUBLISHED 1u
#define SLIPRING_STATUS_CLAIMED 2u
#define SLIPRING_STATUS_DONE 3u
#define SLIPRING_STATUS_WAIT_IO 4u
#define SLIPRING_STATUS_FAULT 7u
#define SLIPRING_STATUS_MASK 255u
#define SLIPRING_STATUS_DETAIL_SHIFT 8u

/* Fault codes. */
#define SLIPRING_FAULT_OPCODE 1u
#define SLIPRING_FAULT_TENANT 2u
#define SLIPRING_FAULT_PROTECTED 3u
#define SLIPRING_FAULT_RANGE 4u
#define SLIPRING_FAULT_PACKED 5u
#define SLIPRING_FAULT_IO 6u
#define SLIPRING_FAULT_LIMIT 7u
#define SLIPRING_FAULT_USER_MIN 64u
#define SLIPRING_FAULT_USER_MAX 255u

/* Opcodes that are built in; handlers have others. */
#define SLIPRING_OPCODE_NOP 0u
#define SLIPRING_OPCODE_STORE_U32 1u
#define SLIPRING_OPCODE_ATOMIC_ADD 2u
#define SLIPRING_OPCODE_LOAD_U32 3u
#define SLIPRING_OPCODE_COMPARE_SWAP 4u
#define SLIPRING_OPCODE_MEMCPY 5u
#define SLIPRING_OPCODE_DFA_STEP 6u
#define SLIPRING_OPCODE_BATCH_FENCE 7u
#define SLIPRING_OPCODE_LOAD_MISS 65533u
#define SLIPRING_OPCODE_PRINTF 65534u
#define SLIPRING_OPCODE_PACKED_SLOT 2147483649u
#define SLIPRING_OPCODE_SHUTDOWN 4294967295u

/* Priorities. */
#define SLIPRING_PRIORITY_CRITICAL 0u
#define SLIPRING_PRIORITY_HIGH 1u
#define SLIPRING_PRIORITY_NORMAL 2u
#define SLIPRING_PRIORITY_LOW 3u
#define SLIPRING_PRIORITY_IDLE 4u

/* The other buffers, in words: the control buffer without observables, then one each. */
#define SLIPRING_CONTROL_WORDS 160u
#define SLIPRING_CONTROL_OBSERVABLES 160u
#define SLIPRING_DEBUG_LOG_HEAD_WORDS 1u
#define SLIPRING_DEBUG_RECORD_WORDS 4u
#define SLIPRING_IO_SLOT_WORDS 8u

/* Limits, and what a host has that says nothing else. */
#define SLIPRING_TENANTS 29u
#define SLIPRING_MAX_SLOTS 268435455u
#define SLIPRING_MAX_IO_SLOTS 64u
#define SLIPRING_DEFAULT_DEBUG_RECORDS 64u


/* All is well. */
#define SLIPRING_OK 0

/* A pointer is NULL. Its number among the arguments is the value, from 1 on. */
#define SLIPRING_NULL 1

/* The sender was not initialized. */
#define SLIPRING_NOT_INITIALIZED 2

/* More arguments than a slot has; the value says how many. */
#define SLIPRING_TOO_MANY_ARGS 3

/* An opcode of the system's own range that the kernel does not run: the value. */
#define SLIPRING_RESERVED_OPCODE 4

/* No such level of priority: the value. */
#define SLIPRING_NO_LEVEL 5

/* No such slot: the value. The limit is how many there are. */
#define SLIPRING_NO_SLOT 6

/* The slot still holds a job. The value is its status word. */
#define SLIPRING_BUSY 7

/*
 More slots, observables, records or IO slots than there may be: the value. The limit of each is
 another one.
 */
#define SLIPRING_TOO_MANY 8

/* No host has answered. */
#define SLIPRING_NOT_CONNECTED 9

/* The window is full: it holds as many jobs as the limit says. */
#define SLIPRING_FULL 10

/* So many jobs since the oldest that is not finished: the value. */
#define SLIPRING_UNFINISHED 11

/* A row without IO slots. The limit is how many it may have; it has at least one. */
#define SLIPRING_NO_IO_SLOTS 12

/* The host answers, and jobs may go. */
#define SLIPRING_EVENT_CONNECTED 1

/* The host has begun anew. */
#define SLIPRING_EVENT_DISCONNECTED 2

/* The host is another one than expected: property, expected, found. */
#define SLIPRING_EVENT_REFUSED 3

/* The host has refused this side: property, expected, found. */
#define SLIPRING_EVENT_REFUSED_BY_PEER 4

/* A job has ended: ticket, fate, fault, words. */
#define SLIPRING_EVENT_FINISHED 5

/* It ran and finished well. */
#define SLIPRING_FATE_DONE 1

/* It ran and finished with a fault code. */
#define SLIPRING_FATE_FAULT 2

/* It did not run, and will not. */
#define SLIPRING_FATE_NOT_RUN 3

/* It may have run or not; it is not sent again. */
#define SLIPRING_FATE_UNKNOWN 4

/* Jobs that are kept until the host has them. */
#define SLIPRING_WINDOW 8

/* Words of 64 bits that a sender takes. */
#define SLIPRING_SENDER_WORDS 116

/* What became of a call: a code, and the numbers that its text speaks of. */
struct slipring_error {
  /* One of the codes above; SLIPRING_OK is 0. */
  uint32_t code;
  /* The wrong number. */
  uint32_t value;
  /* The limit. */
  uint32_t limit;
};

/* A slot of a ring: 64 bytes. */
struct slipring_slot {
  /* One of the statuses above in its low byte; a fault's code is in the next one. */
  uint32_t status;
  /* One of the opcodes above, or a handler's. */
  uint32_t opcode;
  /* Below SLIPRING_TENANTS. */
  uint32_t tenant;
  /* One of the priorities above. */
  uint32_t priority;
  /* What the opcode says. */
  uint32_t args[12];
};

/* What a slot is to run. */
struct slipring_job {
  /* One of the opcodes above, or a handler's. */
  uint32_t opcode;
  /* Below SLIPRING_TENANTS. */
  uint32_t tenant;
  /* One of the priorities above; beware that 0 is the most urgent one. */
  uint32_t priority;
  /* How many of the arguments count; the others are sent as 0. */
  uint32_t args_len;
  /* The arguments. */
  uint32_t args[12];
};

/* The host's row: both sides have to say the same. */
struct slipring_geometry {
  /* Slots of the ring. */
  uint32_t slots;
  /* Words for results. */
  uint32_t observables;
  /* Records of the debug log; 64 if the host has not said anything else. */
  uint32_t debug_records;
  /* IO slots; 64 if the host has not said anything else. */
  uint32_t io_slots;
};

/*
 A sender: storage that the calls below use. Make it a static, or initialize it with zeros, before
 slipring_sender_init.
 */
struct slipring_sender {
  /* Not for anybody else. */
  uint32_t initialized;
  /* Not for anybody else. */
  uint64_t storage[SLIPRING_SENDER_WORDS];
};

/* A job's number on a link. */
struct slipring_ticket {
  /* The connection that it belongs to. */
  uint32_t session;
  /* Counts up. */
  uint32_t number;
};

/* What a link tells. What does not belong to its kind is 0. */
struct slipring_event {
  /* One of the events above. */
  uint32_t kind;
  /* Of a job that has ended; of SLIPRING_EVENT_CONNECTED, the session. */
  struct slipring_ticket ticket;
  /* One of the fates above. */
  uint32_t fate;
  /* The fault code of SLIPRING_FATE_FAULT. */
  uint32_t fault;
  /* How many words the host has sent with it. */
  uint32_t words_len;
  /* The words. */
  uint32_t words[12];
  /*
   What does not fit: 0 link revision, 1 role, 2 ABI revision, 3 slots, 4 observables, 5 debug
   records, 6 IO slots, 7 something that only the host knows of.
   */
  uint32_t property;
  /* What the side that refuses expects. */
  uint32_t expected;
  /* What the refused side has said. */
  uint32_t found;
};

/* What a link has counted, wrapping. */
struct slipring_counters {
  /* Frames that came whole. */
  uint32_t frames;
  /* Runs of bytes that were no frame. */
  uint32_t damaged;
  /* Whole frames that were not for this connection, or not for now. */
  uint32_t strays;
  /* Results that came more than once. */
  uint32_t repeated;
  /* Jobs that were sent once more. */
  uint32_t resent;
  /* Waits for the host that were in vain. */
  uint32_t timeouts;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* What a code says, for people; of an unknown one, that it is unknown. */
const char *slipring_error_text(uint32_t code);

/*
 Writes a job to a slot of a ring, the status last: whoever reads PUBLISHED there sees all of it.
 A slot is free when it is empty, done, or has ended in a fault.

 The caller sees to it that:
 `ring` is NULL, or points to `slots` slots that live for the call, and that others write to only
 as the protocol says; `job` is NULL or points to one.
 */
struct slipring_error slipring_ring_publish(struct slipring_slot *ring,
                                            uint32_t slots,
                                            uint32_t slot,
                                            const struct slipring_job *job);

/* The row of a host that has said nothing of debug records and IO slots. */
struct slipring_geometry slipring_geometry_of(uint32_t slots, uint32_t observables);

/*
 Makes a sender for hosts whose row has this geometry.

 `session` must differ from boot to boot (a counter in flash, a random number, the time): where it
 does not, results of before may be taken for those of new jobs.

 The caller sees to it that:
 `sender` is NULL, or points to storage that nobody else uses now; `geometry` is NULL or points to
 one.
 */
struct slipring_error slipring_sender_init(struct slipring_sender *sender,
                                           uint32_t session,
                                           const struct slipring_geometry *geometry);

/*
 Takes a job, to be sent by slipring_sender_transmit when its turn comes, and writes its number to
 `ticket`, unless that is NULL.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now; `job` is NULL or points to
 one, and so is `ticket`, which nobody else uses now.
 */
struct slipring_error slipring_sender_publish(struct slipring_sender *sender,
                                              const struct slipring_job *job,
                                              struct slipring_ticket *ticket);

/*
 Takes bytes from the wire, and returns how many: fewer than all when an event is to be taken
 first; offer the rest again then. 0 if a pointer is NULL or the sender is not initialized.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now; `bytes` is NULL, or points to
 `len` bytes.
 */
size_t slipring_sender_receive(struct slipring_sender *sender,
                               const uint8_t *bytes,
                               size_t len,
                               uint32_t now_ms);

/*
 Writes what is to be sent now to `bytes`, and returns how much that is: 0 if a pointer is NULL or
 the sender is not initialized.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now; `bytes` is NULL, or points to
 `len` bytes that nobody else uses now.
 */
size_t slipring_sender_transmit(struct slipring_sender *sender,
                                uint8_t *bytes,
                                size_t len,
                                uint32_t now_ms);

/*
 Takes the next event; returns whether there was one: none if a pointer is NULL or the sender is
 not initialized.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now; `event` is NULL, or points to
 one that nobody else uses now.
 */
bool slipring_sender_next_event(struct slipring_sender *sender, struct slipring_event *event);

/*
 In how many milliseconds slipring_sender_transmit has something to send, if nothing happens until
 then; at most 1000. 0 without a sender.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now.
 */
uint32_t slipring_sender_wait_ms(struct slipring_sender *sender, uint32_t now_ms);

/*
 Writes what the link has counted to `counters`; returns whether it has: not if a pointer is NULL or
 the sender is not initialized.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now; `counters` is NULL, or points to
 some that nobody else uses now.
 */
bool slipring_sender_counters(struct slipring_sender *sender, struct slipring_counters *counters);

/*
 Whether jobs can go, as far as is known: that a host has gone is seen when it comes back.

 The caller sees to it that:
 `sender` is NULL, or points to a sender that nobody else uses now.
 */
bool slipring_sender_is_connected(struct slipring_sender *sender);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SLIPRING_H */
