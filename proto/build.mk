LIBS += proto
proto.src := $(wildcard proto/*.c)
