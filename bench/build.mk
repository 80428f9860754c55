PROGS += bench
bench.src := $(wildcard bench/*.c)
bench.bin := hammer
