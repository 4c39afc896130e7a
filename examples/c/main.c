/* Firmware in C: jobs over a link, and what came of them.
 *
 *   main loop: slipring_sender ─ UART ══▶ host ─▶ its ring
 *              answers, checked ◀─ UART ◀══ results
 *
 * `cargo xtask c` builds it, runs it on a simulated board, and plays the host.
 */

#include "board.h"
#include "slipring.h"

#include <stddef.h>

/* The memory layout that the library was built with. */
_Static_assert(sizeof(struct slipring_slot) == 4 * SLIPRING_SLOT_WORDS, "a slot");
_Static_assert(offsetof(struct slipring_slot, status) == 4 * SLIPRING_SLOT_STATUS, "status");
_Static_assert(offsetof(struct slipring_slot, opcode) == 4 * SLIPRING_SLOT_OPCODE, "opcode");
_Static_assert(offsetof(struct slipring_slot, tenant) == 4 * SLIPRING_SLOT_TENANT, "tenant");
_Static_assert(offsetof(struct slipring_slot, priority) == 4 * SLIPRING_SLOT_PRIORITY, "priority");
_Static_assert(offsetof(struct slipring_slot, args) == 4 * SLIPRING_SLOT_FIRST_ARG, "args");

enum { JOBS = 200, HANDLER = 0x100 };

static struct slipring_sender sender;
static struct slipring_slot ring[4];

/* What the host is to answer: the sum of a job's arguments. */
static uint32_t expected[JOBS];
static uint32_t published, done, faulted, wrong;

static bool publish_next(void)
{
    struct slipring_job job = {.opcode = HANDLER, .tenant = 3, .priority = 1};
    job.args_len = 1 + published % SLIPRING_SLOT_ARGS;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < job.args_len; i++) {
        job.args[i] = published * 0x01010101u + i;
        sum += job.args[i];
    }
    struct slipring_ticket ticket;
    if (slipring_sender_publish(&sender, &job, &ticket).code != SLIPRING_OK) {
        return false;
    }
    /* Tickets count up from 0, as the jobs here do. */
    expected[ticket.number] = sum;
    published++;
    return true;
}

static void hear(const struct slipring_event *event)
{
    if (event->kind == SLIPRING_EVENT_REFUSED || event->kind == SLIPRING_EVENT_REFUSED_BY_PEER) {
        print("the host is another one than expected\n");
        leave(1);
    }
    if (event->kind != SLIPRING_EVENT_FINISHED) {
        return;
    }
    uint32_t answer = expected[event->ticket.number];
    if (event->fate == SLIPRING_FATE_DONE) {
        done++;
        wrong += event->words_len != 1 || event->words[0] != answer;
    } else if (event->fate == SLIPRING_FATE_FAULT) {
        /* The host raises a fault for every tenth job. */
        faulted++;
        wrong += event->fault != 64 || event->ticket.number % 10 != 9;
    } else {
        wrong++;
    }
}

/* A ring in this board's own memory, and calls that must be refused. */
static void check_refusals(void)
{
    struct slipring_job job = {.opcode = SLIPRING_OPCODE_ATOMIC_ADD, .args_len = 2};
    struct slipring_error error = slipring_ring_publish(ring, 4, 2, &job);
    wrong += error.code != SLIPRING_OK || ring[2].status != SLIPRING_STATUS_PUBLISHED;
    wrong += ring[2].opcode != SLIPRING_OPCODE_ATOMIC_ADD || ring[1].status != 0;
    error = slipring_ring_publish(ring, 4, 2, &job);
    wrong += error.code != SLIPRING_BUSY || error.value != SLIPRING_STATUS_PUBLISHED;
    error = slipring_ring_publish(ring, 4, 4, &job);
    wrong += error.code != SLIPRING_NO_SLOT || error.value != 4 || error.limit != 4;
    job.args_len = 13;
    error = slipring_ring_publish(ring, 4, 3, &job);
    wrong += error.code != SLIPRING_TOO_MANY_ARGS || error.value != 13 || error.limit != 12;
    wrong += slipring_ring_publish(NULL, 4, 3, &job).code != SLIPRING_NULL;
    error = slipring_sender_publish(&sender, &job, NULL);
    wrong += error.code != SLIPRING_NOT_INITIALIZED;
    wrong += slipring_sender_receive(NULL, NULL, 1, 0) != 0;
    job.args_len = 0;
    error = slipring_ring_publish(ring, SLIPRING_MAX_SLOTS + 1, 0, &job);
    wrong += error.code != SLIPRING_TOO_MANY || error.value != SLIPRING_MAX_SLOTS + 1;
    struct slipring_geometry row = {.slots = 4, .io_slots = SLIPRING_MAX_IO_SLOTS + 1};
    error = slipring_sender_init(&sender, 1, &row);
    wrong += error.code != SLIPRING_TOO_MANY || error.limit != SLIPRING_MAX_IO_SLOTS;
    row.io_slots = 0;
    error = slipring_sender_init(&sender, 1, &row);
    wrong += error.code != SLIPRING_NO_IO_SLOTS || error.limit != SLIPRING_MAX_IO_SLOTS;
    wrong += slipring_error_text(SLIPRING_FULL)[0] != 't';
}

int main(void)
{
    board_start();
    check_refusals();
    struct slipring_geometry geometry = slipring_geometry_of(64, 64);
    /* A sender that is not initialized takes no bytes: the loop below would offer them for ever. */
    if (slipring_sender_init(&sender, boot_id(), &geometry).code != SLIPRING_OK) {
        print("there is no such row\n");
        leave(1);
    }
    while (done + faulted < JOBS && wrong == 0 && now_ms() < 60000) {
        uint8_t bytes[80];
        size_t len = uart_read(bytes, sizeof bytes), heard = 0;
        while (heard < len) {
            heard += slipring_sender_receive(&sender, bytes + heard, len - heard, now_ms());
            struct slipring_event event;
            while (slipring_sender_next_event(&sender, &event)) {
                hear(&event);
            }
        }
        while (published < JOBS && publish_next()) {
        }
        uart_write(bytes, slipring_sender_transmit(&sender, bytes, sizeof bytes, now_ms()));
    }
    struct slipring_counters counters;
    wrong += !slipring_sender_counters(&sender, &counters) || counters.damaged != 0;
    print("published ");
    print_number(published);
    print(", done ");
    print_number(done);
    print(", faulted ");
    print_number(faulted);
    print(", wrong ");
    print_number(wrong);
    print("\n");
    leave(done + faulted == JOBS && wrong == 0 ? 0 : 1);
}
