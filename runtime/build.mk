LIBS += runtime
runtime.src := $(wildcard runtime/*.c)
