#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define UART0_DATA REGISTER(0x4000C000u)
#define UART0_FLAGS REGISTER(0x4000C018u)
#define UART0_CONTROL REGISTER(0x4000C030u)
#define UART_RX_EMPTY (1u << 4)
#define UART_TX_FULL (1u << 5)
#define UART_ENABLE (1u << 0 | 1u << 8 | 1u << 9)

#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define SYSTICK_PROCESSOR_CLOCK (1u << 2)
#define SYSTICK_INTERRUPT (1u << 1)
#define SYSTICK_COUNT (1u << 0)
/* 12.5 MHz after a reset. */
#define TICKS_PER_MS 12500u

/* Calls of the debugger: semihosting. */
enum { WRITE_TEXT = 0x04, TIME = 0x11, EXIT_EXTENDED = 0x20 };
#define APPLICATION_EXIT 0x20026u

static volatile uint32_t milliseconds;

static uint32_t semihost(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void on_tick(void)
{
    milliseconds++;
}

void board_start(void)
{
    UART0_CONTROL = UART_ENABLE;
    SYSTICK_CONTROL = SYSTICK_PROCESSOR_CLOCK;
    SYSTICK_RELOAD = TICKS_PER_MS - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = SYSTICK_PROCESSOR_CLOCK | SYSTICK_INTERRUPT | SYSTICK_COUNT;
}

uint32_t now_ms(void)
{
    return milliseconds;
}

uint32_t boot_id(void)
{
    return semihost(TIME, NULL);
}

size_t uart_read(uint8_t *bytes, size_t len)
{
    size_t taken = 0;
    while (taken < len && !(UART0_FLAGS & UART_RX_EMPTY)) {
        bytes[taken++] = (uint8_t)UART0_DATA;
    }
    return taken;
}

void uart_write(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        while (UART0_FLAGS & UART_TX_FULL) {
        }
        UART0_DATA = bytes[i];
    }
}

void print(const char *text)
{
    semihost(WRITE_TEXT, text);
}

void print_number(uint32_t number)
{
    char text[11];
    char *first = text + sizeof text - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    print(first);
}

_Noreturn void leave(int status)
{
    const uint32_t arguments[2] = {APPLICATION_EXIT, (uint32_t)status};
    semihost(EXIT_EXTENDED, arguments);
    for (;;) {
    }
}

/* The start: statics, then main. */

extern uint32_t bss_start[], bss_end[], data_start[], data_end[], data_source[], stack_top[];
int main(void);
void on_reset(void);

void on_reset(void)
{
    for (uint32_t *word = bss_start; word < bss_end; word++) {
        *word = 0;
    }
    const uint32_t *source = data_source;
    for (uint32_t *word = data_start; word < data_end; word++) {
        *word = *source++;
    }
    leave(main());
}

static void on_fault(void)
{
    print("fault\n");
    leave(2);
}

/* What the processor starts with, and where exceptions go. */
struct vectors {
    uint32_t *stack;
    void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors VECTORS = {
    stack_top,
    {on_reset, on_fault, on_fault, on_fault, on_fault, on_fault, NULL, NULL, NULL, NULL, on_fault,
     on_fault, NULL, on_fault, on_tick},
};
