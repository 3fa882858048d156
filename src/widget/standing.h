/*-------------------------------------------------------------------------
 *
 * standing.h
 *		What roles are: their attributes and memberships.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STANDING_H
#define DASHCACHE_STANDING_H

#include "postgres.h"

/* A few roles. */
typedef struct DcRoles
{
	Oid		   *list;
	int			n;
} DcRoles;

typedef struct DcStanding
{
	uint64		meaning;		/* of attributes and memberships */
	uint64		rows;			/* of the versions of the rows that say so */
} DcStanding;

extern void dc_standing_init(void);
extern uint64 dc_standing_generation(void);
extern DcStanding dc_standing_read(const DcRoles *roles);
extern DcRoles dc_roles_from_array(Datum array);
extern Datum dc_roles_to_array(const DcRoles *roles);
extern DcRoles dc_roles_copy(const DcRoles *roles);
extern void dc_roles_add(DcRoles *roles, Oid role);
extern bool dc_roles_contain(const DcRoles *roles, Oid role);

#endif							/* DASHCACHE_STANDING_H */
