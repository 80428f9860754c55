PROGS += cli
cli.src := $(wildcard cli/*.c)
cli.bin := trefoil
