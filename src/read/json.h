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

#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "tcop/dest.h"
#include "widget/metacache.h"

typedef struct DcJsonWriter DcJsonWriter;

extern DcJsonWriter *dc_json_writer(DcResultKind kind, TupleDesc desc,
									int columns, StringInfo out);
extern void dc_json_begin(DcJsonWriter *writer);
extern void dc_json_row(DcJsonWriter *writer, TupleTableSlot *slot);
extern void dc_json_end(DcJsonWriter *writer);
extern void dc_json_free(DcJsonWriter *writer);
extern DestReceiver *dc_json_receiver(DcResultKind kind, StringInfo out);

#endif							/* DASHCACHE_JSON_H */
