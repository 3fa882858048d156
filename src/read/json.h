/*-------------------------------------------------------------------------
 *
 * json.h
 *		A query's rows, as the bytes of an answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_JSON_H
#define DASHCACHE_JSON_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "tcop/dest.h"
#include "widget/metacache.h"

extern DestReceiver *dc_json_receiver(DcResultKind kind, StringInfo out);
extern void dc_json_finish(DestReceiver *receiver);

#endif							/* DASHCACHE_JSON_H */
