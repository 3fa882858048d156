/*-------------------------------------------------------------------------
 *
 * fetch.h
 *		The path of a read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_FETCH_H
#define DASHCACHE_FETCH_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "read/answer.h"
#include "read/lookup.h"
#include "widget/metacache.h"

extern void dc_fetch_begin(DcLookup *lookup, const DcDashboard *dashboard,
						   DcWidget *widget, DcRequest *request);
extern void dc_fetch(DcLookup *lookup, StringInfo out, DcAnswer *answer);

#endif							/* DASHCACHE_FETCH_H */
