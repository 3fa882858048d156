/*-------------------------------------------------------------------------
 *
 * trace.c
 *		What is asked of a cache, made up.
 *
 * Tenants open a dashboard of several widgets, so its entries are asked for one
 * after the other.  An entry has a size and a time of computation that it keeps,
 * both from log-normal distributions: a median of 1 kB and 20 ms, and a few that
 * are a hundred times that.  The same seed makes the same trace.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "mix.h"
#include "trace.h"

#define TENANTS 10000

/* A stream of pseudo-random numbers; the state is counted up and mixed. */
typedef struct Random
{
	uint64		state;
} Random;

static uint64
next_random(Random *random)
{
	random->state += UINT64CONST(0x9e3779b97f4a7c15);
	return dc_mix64(random->state);
}

/* From 0 up to but not including 1. */
static double
uniform(Random *random)
{
	return (next_random(random) >> 11) * (1.0 / (UINT64CONST(1) << 53));
}

static double
log_normal(Random *random, double median, double sigma)
{
	double		normal = sqrt(-2 * log(1 - uniform(random))) * cos(2 * M_PI * uniform(random));

	return median * exp(sigma * normal);
}

/* Ranks from 0 with the probability 1 / (rank + 1) ^ exponent. */
typedef struct Zipf
{
	int			n;
	double	   *cumulated;
} Zipf;

static void
zipf_init(Zipf *zipf, int n, double exponent)
{
	double		sum = 0;

	zipf->n = n;
	zipf->cumulated = malloc(n * sizeof(double));
	if (zipf->cumulated == NULL)
		abort();
	for (int i = 0; i < n; i++)
		zipf->cumulated[i] = sum += 1 / pow(i + 1, exponent);
}

static int
zipf_next(const Zipf *zipf, Random *random)
{
	double		sought = uniform(random) * zipf->cumulated[zipf->n - 1];
	int			low = 0;
	int			high = zipf->n - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (zipf->cumulated[middle] > sought)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* How a trace goes on: the tenant that comes next. */
typedef struct Course
{
	Random		random;
	Zipf		zipf;
	int			visits;			/* up to now */
	int			planned;
} Course;

static int
zipf_tenant(Course *course)
{
	return zipf_next(&course->zipf, &course->random);
}

/* Every fifth of the time all tenants are opened once, as a report would. */
static int
scan_tenant(Course *course)
{
	int			period = course->planned / 5;
	int			since = course->visits % period;

	/* every other visit while it lasts; popular ones come at any time */
	if (since >= period / 4 && since < period / 4 + 2 * TENANTS && since % 2 == 0)
		return (since - period / 4) / 2 * 7919 % TENANTS;
	return zipf_tenant(course);
}

/* The popular ones change, a part of them at a time. */
static int
shift_tenant(Course *course)
{
	int			moved = (int) ((int64) course->visits * TENANTS / course->planned);
	int			rank = zipf_tenant(course);

	return (rank + moved) % TENANTS;
}

static const struct
{
	const char *name;
	const char *what;
	int			(*tenant) (Course *course);
	double		exponent;
	double		changes;		/* of some tenant's data, for each visit */
}			kinds[] = {
	{"Zipf", "tenants by popularity", zipf_tenant, 0.9, 0},
	{"scan", "the same, and all tenants one after the other from time to time", scan_tenant, 0.9, 0},
	{"shift", "the popular ones change", shift_tenant, 1.1, 0},
	{"changes", "the same as the first, and tenants' data change", zipf_tenant, 0.9, 0.2},
};

const int	ntraces = lengthof(kinds);

/* Make a trace; the caller frees it. */
void
trace_make(Trace *trace, int number, uint64 seed, int naccesses)
{
	Course		course = {.random = {seed},.planned = naccesses / ITEMS_OF_TENANT};
	Random	   *random = &course.random;

	memset(trace, 0, sizeof(*trace));
	trace->name = kinds[number].name;
	trace->what = kinds[number].what;
	trace->nitems = TENANTS * ITEMS_OF_TENANT;
	trace->items = calloc(trace->nitems, sizeof(Item));
	trace->events = calloc(course.planned * (ITEMS_OF_TENANT + 1), sizeof(int32));
	if (trace->items == NULL || trace->events == NULL)
		abort();

	for (int i = 0; i < trace->nitems; i++)
	{
		trace->items[i].size = (uint32) Min(200 + log_normal(random, 1000, 1.2), 500000);
		trace->items[i].compute_us = (uint32) Min(50 + log_normal(random, 20000, 1.5), 60e6);
		trace->bytes += trace->items[i].size;
	}

	zipf_init(&course.zipf, TENANTS, kinds[number].exponent);
	for (; course.visits < course.planned; course.visits++)
	{
		int			tenant = kinds[number].tenant(&course);

		if (uniform(random) < kinds[number].changes)
			trace->events[trace->nevents++] = -1 - zipf_next(&course.zipf, random);
		for (int i = 0; i < ITEMS_OF_TENANT; i++)
			trace->events[trace->nevents++] = tenant * ITEMS_OF_TENANT + i;
	}
	free(course.zipf.cumulated);
}

void
trace_free(Trace *trace)
{
	free(trace->items);
	free(trace->events);
}
