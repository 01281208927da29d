/*
 * Ownership of a subscription to an event store: which process reads on, and who may
 * write down how far it is. A lock makes a process the owner. The lock can end without its
 * owner knowing; what that owner writes then is refused by the expected version of
 * the position's stream. README.md says what is left out.
 */

#define PROCESSES 3
#define MESSAGES  2
#define NONE      3 /* no process */

/* Mutants: what each leaves out is in README.md. */
#ifndef NO_FENCE
#define NO_FENCE false
#endif
#ifndef NO_ROW
#define NO_ROW false
#endif
#ifndef NO_LOCK
#define NO_LOCK false
#endif
#ifndef TWO_WRITES
#define TWO_WRITES false
#endif

/* What the store has. Message i has position i+1. */
byte lock = NONE;
byte version;            /* of the position's stream */
byte position;           /* all up to here is handled, or failed and on record */
bool failed[MESSAGES];   /* on record as failed */

/* What none of the processes knows. */
byte owner = NONE;       /* wrote the last row that says so */
byte lost = NONE;        /* the owner whose lock has ended */
bool handled[MESSAGES];
byte faults = 2;         /* how often a lock ends, or a process does */
byte failures = 1;       /* how many calls fail */

#define allHandled (handled[0] && handled[1] && position == MESSAGES && !failed[0] && !failed[1])

inline disown() {
	owns = false; unsaved = false; expected = 0; reached = 0; i = 0;
	do
	:: i < MESSAGES -> settled[i] = false; written[i] = false; i++
	:: else -> break
	od;
	i = 0
}

/* save writes down a position and what changed of the failed ones, in one transaction. */
inline save() {
	if
	:: version == expected || NO_FENCE ->
		assert(owner == p);           /* no former owner writes */
		assert(reached >= position);  /* the position does not go back */
		position = reached; version++; expected = version;
		i = 0;
		do
		:: i < MESSAGES ->
			failed[i] = (settled[i] -> false : (failed[i] || written[i] && !TWO_WRITES));
			/* Nothing is skipped. */
			assert(i >= position || handled[i] || failed[i] || TWO_WRITES && written[i]);
			i++
		:: else -> break
		od
	:: else -> disown(); lock = (lock == p -> NONE : lock)
	fi;
	unsaved = false
}

proctype Process(byte p) {
	bool owns, unsaved, settled[MESSAGES], written[MESSAGES];
	byte expected, reached, i;
end:
	do
	/* It ends and starts again, or is suspended for so long that its lock is given to another. */
	:: atomic { !allHandled && faults > 0 && lock == p ->
		faults--; lock = NONE; lost = p;
		if
		:: disown()
		:: skip
		fi }

	/* Standby: it takes the lock, reads how far the subscription is, and writes that it has this owner. */
	:: atomic { !owns && !allHandled && (lock == NONE || NO_LOCK) -> lock = p; expected = version; reached = position;
		i = 0;
		do
		:: i < MESSAGES -> settled[i] = false; written[i] = failed[i]; i++
		:: else -> break
		od;
		i = 0 }
		atomic {
		if
		:: version == expected && lock == p ->
			assert(owner == NONE || owner == p || lost == owner); /* it has the subscription of one that lost it */
			owner = p; lost = NONE; owns = true;
			version = (NO_ROW -> version : version + 1); expected = version
		:: else -> disown(); lock = (lock == p -> NONE : lock)
		fi }

	/* It handles one of the messages above the position, or one that is on record as failed. */
	:: !allHandled && owns && !(settled[0] && settled[1]) ->
		if
		:: atomic { !settled[0] -> i = 0 }
		:: atomic { !settled[1] -> i = 1 }
		fi;
		if
		:: atomic { handled[i] = true; settled[i] = true; unsaved = true; i = 0 }
		:: atomic { failures > 0 -> failures--; written[i] = true; unsaved = true; i = 0 }
		fi

	/* It saves the position that follows from what is settled, or failed and written down with it. */
	:: atomic { !allHandled && owns && unsaved ->
		do
		:: reached < MESSAGES && (settled[reached] || written[reached]) -> reached++
		:: else -> break
		od;
		save(); i = 0 }
		if
		:: atomic { TWO_WRITES && owns ->
			i = 0;
			do
			:: i < MESSAGES -> failed[i] = failed[i] || written[i] && !settled[i]; i++
			:: else -> break
			od;
			i = 0 }
		:: !TWO_WRITES || !owns
		fi
	od
}

init {
	byte p;
	atomic {
		do
		:: p < PROCESSES -> run Process(p); p++
		:: else -> break
		od
	}
}

/* In the end each message is handled, and the position is above all of them. */
ltl nothingSkipped { <> allHandled }
