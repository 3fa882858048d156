/*-------------------------------------------------------------------------
 *
 * role_use.h
 *		Which roles our tables mention, told to the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ROLE_USE_H
#define DASHCACHE_ROLE_USE_H

extern void dc_role_use_tell(void);

#endif							/* DASHCACHE_ROLE_USE_H */
