/*-------------------------------------------------------------------------
 *
 * code.h
 *		Whose code a query runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CODE_H
#define DASHCACHE_CODE_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "widget/standing.h"

/* Something that its owner can make do something else. */
typedef struct DcCode
{
	Oid			role;			/* its owner */
	Oid			class;
	Oid			object;
} DcCode;

/* A plan that is kept between calls; see dc_code_plan_is_current(). */
typedef struct DcKeptPlan
{
	SPIPlanPtr	plan;			/* NULL: not made yet */
	uint64		roles;			/* as of which generation it was made */
	uint64		checked;		/* when it was last judged; 0: never */
} DcKeptPlan;

extern void dc_code_init(void);
extern void dc_code_changed(void);
extern List *dc_code_of(List *code, List *queries);
extern List *dc_code_of_type(List *code, Oid type);
extern List *dc_code_of_text(List *code, const char *query);
extern void dc_code_keep_plan(DcKeptPlan *kept, SPIPlanPtr plan, uint64 roles);
extern List *dc_code_of_plan(List *code, SPIPlanPtr plan);
extern bool dc_code_trusted(const DcCode *code, Oid owner);
extern void dc_code_check(List *all, Oid owner, const DcRoles *admitted);
extern void dc_code_admit(List *code, DcRoles *roles);
extern char *dc_code_describe(const DcCode *code);
extern void dc_code_check_plan(DcKeptPlan *kept, Oid owner,
							   const DcRoles *admitted);
extern bool dc_code_plan_is_current(DcKeptPlan *kept);
extern void dc_code_forget_plan(DcKeptPlan *kept);

#endif							/* DASHCACHE_CODE_H */
