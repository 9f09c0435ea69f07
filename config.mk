# What every Makefile here shares: compiler, flags, variants.
#   WERROR=-Werror  as CI does
#   REDIS=no NATS=no  a cluster without these engines (yes where their libraries' headers are)
#   TLS=no          without TLS (yes where OpenSSL's headers are)
#   SAN=address   ASan + UBSan       SAN=thread   TSan       (nothing)   release

CC ?= gcc
OBJCOPY ?= objcopy
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
OPT ?= -O2
CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE $(OPT) -g -fno-omit-frame-pointer -pthread $(WARN) $(CFLAGS)
LDFLAGS_ALL = -pthread $(LDFLAGS)

ifeq ($(SAN),address)
VARIANT = address
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_ALL += -fsanitize=address,undefined
else ifeq ($(SAN),thread)
VARIANT = thread
CFLAGS_ALL += -fsanitize=thread
LDFLAGS_ALL += -fsanitize=thread
else ifeq ($(SAN),)
VARIANT = release
else
$(error SAN is address, thread or nothing)
endif

, := ,

# The cluster's drivers are built in where the headers of their engines' client libraries are. hiredis is linked; libnats,
# which brings more along than all the rest is, is loaded when it is wanted.
REDIS ?= $(shell pkg-config --exists hiredis 2>/dev/null && echo yes)
NATS ?= $(shell pkg-config --exists libnats 2>/dev/null && echo yes)
HAS_REDIS := $(filter yes,$(REDIS))
HAS_NATS := $(filter yes,$(NATS))
CLUSTER_WITH = $(if $(HAS_REDIS),-DMARIO_WITH_REDIS) $(if $(HAS_NATS),-DMARIO_WITH_NATS)
CLUSTER_LIBS = $(if $(HAS_REDIS),-Wl$(,)--as-needed -lhiredis -Wl$(,)--no-as-needed)

# TLS is built in where OpenSSL's headers are. The library is loaded when a listener has tls=; tests and clients link it.
# (make million TLS=1 is another matter, and leaves it in.)
HAS_TLS := $(if $(filter no,$(TLS)),,$(shell pkg-config --atleast-version=3.0 openssl 2>/dev/null && echo yes))
TLS_WITH = $(if $(HAS_TLS),-DMARIO_WITH_TLS)
TLS_LIBS = $(if $(HAS_TLS),-lssl -lcrypto)
