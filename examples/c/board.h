/* The board, an lm3s6965evb as QEMU simulates it: what another board replaces. */

#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

void board_start(void);

/* Milliseconds since the start, wrapping. */
uint32_t now_ms(void);

/* Another number at each start; a board has a counter in flash for it, or random bits. */
uint32_t boot_id(void);

/* Takes what has come, up to so many bytes, and says how many. */
size_t uart_read(uint8_t *bytes, size_t len);

/* Writes bytes, and waits while the UART has no room. */
void uart_write(const uint8_t *bytes, size_t len);

/* To the debugger's terminal. */
void print(const char *text);
void print_number(uint32_t number);

/* Ends the simulation, successfully with 0. */
_Noreturn void leave(int status);

#endif
