/*-------------------------------------------------------------------------
 *
 * changes.h
 *		The journal of the latest changes: who made entries stale.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CHANGES_H
#define DASHCACHE_CHANGES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"

/* What a transaction did to a source; the kinds may be combined. */
#define DC_CHANGE_INSERT	0x01
#define DC_CHANGE_UPDATE	0x02
#define DC_CHANGE_DELETE	0x04
#define DC_CHANGE_TRUNCATE	0x08
#define DC_CHANGE_DDL		0x10

#define DC_CHANGE_TENANT_LEN 64

typedef struct DcChange
{
	TimestampTz at;				/* shortly before its commit */
	uint64		xid;			/* full transaction ID */
	Oid			database;
	Oid			source;
	uint32		tenant_hash;	/* meaningless if every_tenant */
	bool		every_tenant;
	uint8		operations;		/* DC_CHANGE_* */
	char		tenant[DC_CHANGE_TENANT_LEN];	/* clipped; '' if unknown */
} DcChange;

extern Size dc_changes_shmem_size(Size memory);
extern void dc_changes_shmem_init(void *place, Size memory);
extern void dc_changes_attach(void *place);

extern void dc_changes_add(const DcChange *change);
extern void dc_changes_count_entry(uint64 xid, Oid source,
								   bool every_tenant, uint32 tenant_hash);
extern void dc_changes_forget(Oid database);
extern uint32 dc_changes_capacity(void);
extern bool dc_changes_read(uint32 slot, DcChange *change, uint64 *entries_hit);

#endif							/* DASHCACHE_CHANGES_H */
