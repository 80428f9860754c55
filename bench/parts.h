/* bench/parts.h - the parts of `hammer`, one subject a file.  Each takes the words after its own name as argv[1]..., prints
 * one JSON object (or one a run), and returns the exit code: 0, 1 what was measured is not right, 2 usage. */
#pragma once

int hammer_main(int argc, char **argv);		/* counter, flood: hammer.c; argv[0] and the mode as they came */
int far_main(int argc, char **argv);		/* far: far_main.c */
int ring_main(int argc, char **argv);		/* ring: ring.c */
int chain_main(int argc, char **argv);		/* chain: chain.c */
