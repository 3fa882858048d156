# dashcache: builds with PGXS as any extension does (make, make install,
# make installcheck). "make help" lists what else there is.

EXTENSION = dashcache
MODULE_big = dashcache
PGFILEDESC = "dashcache - a result cache inside the database"

PG_CONFIG ?= pg_config

# These targets work before PostgreSQL is there (they install what is missing),
# so they do without PGXS. They also run as root, in a directory of their own.
TOOLS = check check-layers check-format check-regress check-isolation check-tap \
	demo stress fuzz applications crash bench traces indent typedefs help

ifneq ($(filter $(TOOLS),$(MAKECMDGOALS)),)

.PHONY: $(TOOLS)
.NOTPARALLEL:

# Read by the scripts; "make help" says what they do.
export PG_CONFIG COPT ASSERT REGRESS ISOLATION PROVE_TESTS JOBS KEEP ACCEPT
export DURATION SESSIONS MEMORY RESTARTS SEED ROUND ROUNDS STEPS DIFFS SHRINK KNOWN VERBOSE ACCESSES

check:
	@test/tools/check layers format regress isolation tap

check-regress check-isolation check-tap: check-%:
	@test/tools/check $*

check-layers:
	@test/tools/layers

check-format:
	@test/tools/install-deps
	@test/tools/indent --check

demo:
	@test/tools/throwaway demo/run

stress:
	@test/tools/throwaway test/tools/with-server -c test/dashcache.conf perl test/stress.pl

fuzz:
	@test/tools/throwaway test/tools/with-server -c test/dashcache.conf perl test/fuzz.pl

applications:
	@test/tools/throwaway test/tools/with-server -c test/dashcache.conf perl test/applications.pl

crash:
	@test/tools/throwaway test/tools/with-server -c test/dashcache.conf perl test/crash.pl

bench:
	@test/tools/throwaway test/tools/with-server -c test/bench/server.conf test/bench/run

traces:
	@test/tools/throwaway test/bench/traces/run

indent: typedefs
	@test/tools/install-deps
	@test/tools/indent --write

typedefs:
	@test/tools/typedefs > src/typedefs.list.new
	@mv src/typedefs.list.new src/typedefs.list

help:
	@sed -n 's/^#> \{0,1\}//p' Makefile

#> make                     build, for the PostgreSQL of PG_CONFIG (default: pg_config)
#> make install             install it there
#> make installcheck        regression and isolation tests on the server that runs there
#> make demo                the sample application, on a throw-away server
#> make check               every test, on throw-away servers
#> make check-layers        which file includes which
#> make check-format        pgindent
#> make check-regress       REGRESS="name ..."     only these of test/sql
#> make check-isolation     ISOLATION="name ..."   only these of test/isolation/specs
#> make check-tap           PROVE_TESTS="test/t/010_name.pl ..."  JOBS=n at a time
#> make stress              DURATION=seconds SESSIONS=n RESTARTS=n MEMORY=size, e.g. 2MB: entries are evicted all the time
#> make fuzz                DURATION=seconds SEED=n ROUND=n
#> make applications        DURATION=seconds SEED=n APPS="name ..."
#> make crash               ROUNDS=n SEED=n
#> make bench               measure
#> make traces              the eviction policy on generated traces: SEED=n ACCESSES=n
#> make indent              format the C sources in place, after
#> make typedefs            which writes src/typedefs.list anew
#>
#> For check, demo, stress, fuzz, applications, crash, bench and traces: PG_CONFIG=path, COPT=flags for the compiler,
#> ASSERT=1 to build with assertions, KEEP=1 to keep the directory they work in,
#> ACCEPT=1 to make the output of regress and isolation the expected one.

# Any other goal of the same command line, as in "make all check".
OTHERS = $(filter-out $(TOOLS),$(MAKECMDGOALS))
ifneq ($(OTHERS),)
.PHONY: $(OTHERS)
$(OTHERS):
	@$(MAKE) --no-print-directory $@
endif

else

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error no PostgreSQL headers: install them (Debian: postgresql-server-dev-15) or name another with PG_CONFIG=...)
endif

# Where the sources are: here, or where "make -f .../Makefile VPATH=..." says.
srcdir = $(or $(VPATH),.)
SOURCES = $(sort $(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c))
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(SOURCES))
DATA = $(patsubst $(srcdir)/%,%,$(sort $(wildcard $(srcdir)/sql/$(EXTENSION)--*.sql)))

# The version is written in the control file alone; the C code gets it from here.
DASHCACHE_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(srcdir)/$(EXTENSION).control)

PG_CPPFLAGS = -I$(srcdir)/src -DDASHCACHE_VERSION=\"$(DASHCACHE_VERSION)\"
ifneq ($(ASSERT),)
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING
endif
# Without the three exceptions PostgreSQL's own headers and macros warn.
# -MMD writes down which headers an object was made from, see below.
PG_CFLAGS = -Wall -Wextra -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers -Wno-sign-compare -MMD -MP
# A hit goes through a dozen small functions in as many files, between the work of
# other sessions, which leaves nothing of it in the processor's caches. Together,
# and without calls through tables, they take half the time.
ifneq ($(findstring gcc,$(if $(filter default,$(origin CC)),$(shell $(PG_CONFIG) --cc),$(CC))),)
PG_CFLAGS += -flto=2 -fno-plt
endif
# No bitcode: what JIT took into a query would call functions of ours that are not
# exported, and there is nothing to be gained for functions as large as these.
override with_llvm = no

# installcheck: these names, or those given on the command line.
REGRESS = $(sort $(patsubst $(srcdir)/test/sql/%.sql,%,$(wildcard $(srcdir)/test/sql/*.sql)))
ISOLATION = $(sort $(patsubst $(srcdir)/test/isolation/specs/%.spec,%,$(wildcard $(srcdir)/test/isolation/specs/*.spec)))
REGRESS_OPTS = --inputdir=$(srcdir)/test
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation --load-extension=$(EXTENSION)

DEPENDENCIES = $(OBJS:.o=.d)
EXTRA_CLEAN = .build $(DEPENDENCIES)

include $(PGXS)

# Since PostgreSQL 16 the expected output is no longer looked for beside the input.
ifeq ($(filter 15,$(MAJORVERSION)),)
ISOLATION_OPTS += --expecteddir=$(srcdir)/test/isolation
endif

ifeq ($(PORTNAME),linux)
SHLIB_LINK += -Wl,--version-script=$(srcdir)/src/exports.map
$(shlib): $(srcdir)/src/exports.map
endif

-include $(wildcard $(DEPENDENCIES))

ifdef VPATH
$(shell mkdir -p $(sort $(dir $(OBJS))))
endif

# A changed version or flag above reaches every object.
$(OBJS): $(srcdir)/Makefile $(srcdir)/$(EXTENSION).control

endif
