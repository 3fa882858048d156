/*-------------------------------------------------------------------------
 *
 * flight.h
 *		Single flight: one computes, the others wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_FLIGHT_H
#define DASHCACHE_FLIGHT_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Somebody's flight, as dc_flight_claim() found it. */
typedef struct DcFlight
{
	int			slot;
	uint64		number;
	uint64		key;
} DcFlight;

typedef enum DcFlightClaim
{
	DC_FLIGHT_MINE,				/* dc_flight_release() has to follow */
	DC_FLIGHT_OTHER,			/* somebody else has it */
	DC_FLIGHT_NONE				/* this backend cannot take one now */
} DcFlightClaim;

typedef enum DcFlightEnd
{
	DC_FLIGHT_ENDED,			/* look again, and claim it if need be */
	DC_FLIGHT_UNSTORED,			/* ended with an answer that cannot be kept */
	DC_FLIGHT_GIVEN_UP			/* too long, or it waits for us */
} DcFlightEnd;

extern Size dc_flight_shmem_size(Size memory);
extern void dc_flight_shmem_init(void *place, Size memory);
extern void dc_flight_attach(void *place);

extern DcFlightClaim dc_flight_claim(uint64 key, DcFlight *other);
extern void dc_flight_release(bool unstored);
extern DcFlightEnd dc_flight_wait(const DcFlight *flight, TimestampTz deadline);
extern bool dc_flight_blocked_by_me(int pid);

#endif							/* DASHCACHE_FLIGHT_H */
