/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		When a job runs next; nothing here looks at a clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "warm/schedule.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_schedule_next);

/* Is this a field of a cron expression? */
static bool
is_cron_field(const char *field, size_t len)
{
	static const char *const names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
	"aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu", "fri", "sat", "sun"};

	for (size_t i = 0; i < len;)
	{
		bool		found = strchr("0123456789*,/-$", field[i]) != NULL;
		size_t		step = 1;

		for (int name = 0; name < lengthof(names) && !found; name++)
		{
			found = len - i >= 3 && pg_strncasecmp(field + i, names[name], 3) == 0;
			step = 3;
		}
		if (!found)
			return false;
		i += step;
	}
	return true;
}

/*
 * What kind of schedule a text is.  A cron expression has five fields, none of
 * which is a word that an interval could have, or is one like @hourly.
 */
DcScheduleKind
dc_schedule_kind(const char *schedule)
{
	int			fields = 0;

	if (strcmp(schedule, "predictive") == 0)
		return DC_SCHEDULE_PREDICTIVE;
	schedule += strspn(schedule, " \t");
	if (schedule[0] == '@' && schedule[1] >= 'a' && schedule[1] <= 'z')
		return DC_SCHEDULE_CRON;
	while (*schedule != '\0')
	{
		size_t		len = strcspn(schedule, " \t");

		if (!is_cron_field(schedule, len))
			return DC_SCHEDULE_INTERVAL;
		fields++;
		schedule += len;
		schedule += strspn(schedule, " \t");
	}
	return fields == 5 ? DC_SCHEDULE_CRON : DC_SCHEDULE_INTERVAL;
}

static TimestampTz
plus(TimestampTz at, const Interval *every, double times)
{
	Interval	span;

	span.month = (int32) (every->month * times);
	span.day = (int32) (every->day * times);
	span.time = every->time * (int64) times;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(at),
												   IntervalPGetDatum(&span)));
}

static void
schedule_error_callback(void *arg)
{
	errhint("A schedule is an interval such as '5 minutes', a cron expression of five fields such as"
			" '0 6 * * 1-5', or 'predictive'.");
}

/* Read an interval, and refuse what cannot be a schedule. */
Interval *
dc_schedule_interval(const char *schedule)
{
	ErrorContextCallback callback;
	Interval   *every;
	double		shortest;

	callback.callback = schedule_error_callback;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	every = DatumGetIntervalP(DirectFunctionCall3(interval_in,
												  CStringGetDatum(schedule),
												  ObjectIdGetDatum(InvalidOid),
												  Int32GetDatum(-1)));
	error_context_stack = callback.previous;

	/* as short as its months and days can be; no integer can hold them all */
	shortest = (double) every->time + (double) every->day * (23 * USECS_PER_HOUR) +
		(double) every->month * (28 * USECS_PER_DAY);
	if (shortest < USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval of a schedule is too short: \"%s\"", schedule),
				 errdetail("The shortest is one second.")));
	if (every->month < 0 || every->day < 0 || every->time < 0 ||
		shortest > (double) (100 * 365 * USECS_PER_DAY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval is no schedule: \"%s\"", schedule),
				 errhint("For example '5 minutes', or '1 day'.")));
	return every;
}

/*
 * The first time after "after" that is a whole number of intervals from
 * "anchor".  Counted from the anchor each time, so that nothing adds up: not
 * how long a run takes, and not the months that are shorter than others.
 */
TimestampTz
dc_schedule_next(TimestampTz anchor, const Interval *every, TimestampTz after)
{
	double		length = (double) every->time +
	(double) every->day * USECS_PER_DAY +
	(double) every->month * (30.436875 * USECS_PER_DAY);
	double		times = floor(((double) after - (double) anchor) / length);
	TimestampTz next;

	if (after < anchor)
		return anchor;
	times = Max(times, 1);
	next = plus(anchor, every, times);

	/* days and months are as long as they are: look around */
	while (times > 1 && next > after)
		next = plus(anchor, every, --times);
	while (next <= after)
		next = plus(anchor, every, ++times);
	return next;
}

/* The hour of the week of a time, from 0: Monday 0 to 1 h UTC. */
int
dc_schedule_hour_of_week(TimestampTz at)
{
	/* the epoch, 2000-01-01, was a Saturday */
	int64		hours = at / USECS_PER_HOUR - (at % USECS_PER_HOUR < 0 ? 1 : 0);
	int64		hour = (hours + 5 * 24) % DC_HOURS_A_WEEK;

	return (int) (hour < 0 ? hour + DC_HOURS_A_WEEK : hour);
}

/* The first time after "after" that is so long before a full hour. */
TimestampTz
dc_schedule_next_hour(TimestampTz after, int64 ahead_us)
{
	TimestampTz hour = after + ahead_us;

	hour -= hour % USECS_PER_HOUR;
	return hour + USECS_PER_HOUR - ahead_us;
}

/*
 * dashcache.schedule_next(anchor, every, after)
 */
Datum
dashcache_schedule_next(PG_FUNCTION_ARGS)
{
	TimestampTz anchor = PG_GETARG_TIMESTAMPTZ(0);
	Interval   *every = PG_GETARG_INTERVAL_P(1);
	TimestampTz after = PG_GETARG_TIMESTAMPTZ(2);

	if (TIMESTAMP_NOT_FINITE(anchor) || TIMESTAMP_NOT_FINITE(after) ||
		every->month < 0 || every->day < 0 || every->time < 0 ||
		(every->month == 0 && every->day == 0 && every->time == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("times must be finite, and the interval longer than nothing")));
	PG_RETURN_TIMESTAMPTZ(dc_schedule_next(anchor, every, after));
}
