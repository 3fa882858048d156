/*-------------------------------------------------------------------------
 *
 * lookup.h
 *		Asking the cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_LOOKUP_H
#define DASHCACHE_LOOKUP_H

#include "postgres.h"

#include "consistency/validity.h"
#include "lib/stringinfo.h"
#include "read/answer.h"
#include "store/store.h"
#include "widget/metacache.h"

/*
 * One widget's answer on its way: what is asked for, what is needed to look for
 * it and to store it, and where the answer goes.
 */
typedef struct DcLookup
{
	const DcDashboard *dashboard;
	DcWidget   *widget;
	Datum		tenant;
	Datum		params;
	bool		refresh;		/* compute, whatever is there */
	bool		background;		/* nobody has asked for it now */
	bool		keep_last;		/* an error may be answered with max_stale */
	DcKey		key;
	DcSnapshot	snapshot;
	StringInfo	out;
	DcAnswer   *answer;

	/* why there was no hit; set by dc_lookup_try_cache() */
	const char *reason;
	/* others' answers would be of no use, nor ours to them; likewise */
	bool		alone;

	/* the answer that was served, if it is yet to be decompressed */
	char	   *compressed;
	Size		compressed_len;
} DcLookup;

extern void dc_lookup_make_key(DcLookup *lookup);
extern void dc_lookup_prefetch(const DcLookup *lookup);
extern bool dc_lookup_may_use_cache(DcLookup *lookup);
extern bool dc_lookup_try_cache(DcLookup *lookup);
extern bool dc_lookup_last_answer(DcLookup *lookup, bool really);
extern void dc_lookup_log(const DcLookup *lookup, const char *what);

/* Room for so many bytes at the end of a buffer, which then counts as filled. */
static inline char *
dc_append_room(StringInfo out, Size len)
{
	char	   *room;

	if (unlikely((Size) (out->maxlen - out->len) <= len))
		enlargeStringInfo(out, (int) len);
	room = out->data + out->len;
	out->len += (int) len;
	out->data[out->len] = '\0';
	return room;
}

#endif							/* DASHCACHE_LOOKUP_H */
