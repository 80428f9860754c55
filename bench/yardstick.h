/* bench/yardstick.h - the baseline of every figure: what this machine pays, now, for moving 256 octets between two sockets. */
#pragma once

/* CPU time of one 256-octet write and one read on a unix stream socket pair, in microseconds: the median of 9 runs. */
double yardstick_us(void);
