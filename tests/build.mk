# All three cores at once: their headers do not go together, so test-uses cannot find it.
tests/process/test_cage.use := hostd/core gattd/core transportd/program runtime proto shm wire base
tests/process/test_cage.help := tests/hostile/cage_calls tests/hostile/cage_ring tests/hostile/say
