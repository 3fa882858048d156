/*-------------------------------------------------------------------------
 *
 * schedule.h
 *		When a job runs next; nothing here looks at a clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SCHEDULE_H
#define DASHCACHE_SCHEDULE_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* The kinds of schedules, as in dashcache.job. */
typedef enum DcScheduleKind
{
	DC_SCHEDULE_INTERVAL = 'i',
	DC_SCHEDULE_CRON = 'c',
	DC_SCHEDULE_PREDICTIVE = 'p'
} DcScheduleKind;

#define DC_HOURS_A_WEEK 168

extern DcScheduleKind dc_schedule_kind(const char *schedule);
extern Interval *dc_schedule_interval(const char *schedule);
extern TimestampTz dc_schedule_next(TimestampTz anchor, const Interval *every,
									TimestampTz after);
extern TimestampTz dc_schedule_next_hour(TimestampTz after, int64 ahead_us);
extern int	dc_schedule_hour_of_week(TimestampTz at);

#endif							/* DASHCACHE_SCHEDULE_H */
