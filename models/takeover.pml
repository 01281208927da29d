/*
 * Takeover and renewal of the entries of a consumer group: what the engines of a group
 * do with what a consumer left that ended, or that is suspended and goes on. The first
 * consumer is an engine or a Python consumer, which does not renew and whose calls
 * are shorter than claim_idle_seconds; the others are engines. README.md says what
 * is left out, and which lines a mutant leaves out.
 *
 * Time goes by in ticks, and no tick begins before each running engine has renewed.
 */

#define ENTRIES   2
#define CONSUMERS 3
#define NONE      3 /* no entry, no consumer */
#define IDLE      3 /* claim_idle_seconds, in ticks: an engine renews every third of it */
#define LONGEST   4 /* how long a call of an engine takes at most */
#define ATTEMPTS  1 /* max_retries: what is on record beyond it is given up as poison */

/* Mutants: what each leaves out is in README.md. */
#ifndef NO_RENEWAL
#define NO_RENEWAL false
#endif
#ifndef NO_TAKEOVER
#define NO_TAKEOVER false
#endif
#ifndef NO_IDLE
#define NO_IDLE false
#endif
#ifndef NO_PENDING
#define NO_PENDING false
#endif
#ifndef ALL_AT_ONCE
#define ALL_AT_ONCE false
#endif

/* What the server knows: of the group, of its entries, of its consumers. */
byte delivered;            /* how many entries were read */
byte owner[ENTRIES] = NONE;
byte count[ENTRIES];       /* attempts on record; a read counts as one */
byte idle[ENTRIES];
byte pending[CONSUMERS];
byte seen[CONSUMERS];      /* ticks since it read, claimed or showed life */

/* What a consumer knows. */
typedef Consumer {
	bool has[ENTRIES];          /* in flight */
	byte taken[ENTRIES];        /* of these, what was on record when it was taken over; 0 where it was read */
	byte call = NONE;           /* the entry whose call is under way */
	byte age;                   /* of the call; of a Python consumer, since it read or acknowledged */
	bool renewed;               /* in this tick */
	byte asked;                 /* ticks since it asked what the others have pending */
	byte observed[CONSUMERS];   /* how many entries that was, and */
	byte unchanged[CONSUMERS]   /* for how many ticks it has been so, and they were not seen */
}
Consumer consumers[CONSUMERS];

/* What none of them knows. */
mtype = { running, suspended, ended };
mtype state[CONSUMERS] = running;
bool python;               /* consumer 0 is one */
byte batch = 1;            /* messages_per_tick */
byte poison = NONE;        /* the entry that ends each consumer which calls it */
bool stopped[CONSUMERS];   /* was suspended, and has not renewed since */
byte silent[CONSUMERS];    /* ticks without a sign of life */
byte calls[ENTRIES];
bool finished[ENTRIES];    /* handled, or given up */

#define isPython(c)   (python && c == 0)
#define allFinished   (finished[0] && finished[1])
#define holds(c)      (consumers[c].has[0] || consumers[c].has[1])
#define isFresh(c, e) (consumers[c].has[e] && consumers[c].taken[e] == 0)
#define hasFresh(c)   (isFresh(c, 0) || isFresh(c, 1))
#define hasTaken(c)   (consumers[c].taken[0] > 0 || consumers[c].taken[1] > 0)
#define older(n)      (n < IDLE -> n + 1 : n)

/* mayTake says whether consumer c takes another's entries over. */
#define mayTake(c, from) (!NO_TAKEOVER && c != from && consumers[c].observed[from] > 0 && consumers[c].unchanged[from] >= IDLE)
#define canTake(c)       ((!hasTaken(c) || ALL_AT_ONCE) && (mayTake(c, 0) || mayTake(c, 1) || mayTake(c, 2)))
#define first(c)         (mayTake(c, 0) -> 0 : (mayTake(c, 1) -> 1 : 2))

/* Each consumer that runs has done in this tick what it has to. */
#define inTime(c) (state[c] != running || \
	(isPython(c) -> !holds(c) || consumers[c].age < IDLE - 1 : \
	consumers[c].renewed && !canTake(c) && (delivered == ENTRIES || hasFresh(c)) && (consumers[c].call == NONE || consumers[c].age < LONGEST)))

inline showLife(c) { seen[c] = 0; silent[c] = 0 }

/* settle takes an entry out of the pending list, whoever owns it. */
inline settle(e) {
	if
	:: owner[e] != NONE -> silent[owner[e]] = (owner[e] == c -> 0 : silent[owner[e]]); pending[owner[e]]--; owner[e] = NONE
	:: else
	fi
}

inline finish(e) { finished[e] = true; count[e] = 0; calls[e] = 0 }

inline drop(c, e) { consumers[c].has[e] = false; consumers[c].taken[e] = 0 }

inline readBatch(c) {
	k = 0;
	do
	:: k < batch && delivered < ENTRIES ->
		owner[delivered] = c; pending[c]++; count[delivered] = 1; idle[delivered] = 0;
		consumers[c].has[delivered] = true; delivered++; k++
	:: else -> break
	od;
	showLife(c)
}

/* begin begins a call. That of a poison entry ends the process. */
inline begin(c, e) {
	k = 0;
	do
	:: k < CONSUMERS ->
		/* No two that live call one entry, unless one was suspended. */
		assert(k == c || state[k] == ended || consumers[k].call != e || stopped[k] || stopped[c]);
		k++
	:: else -> break
	od;
	calls[e] = (finished[e] -> 0 : calls[e] + 1);
	consumers[c].call = e;
	if
	:: !isPython(c) -> consumers[c].age = 0
	:: else
	fi;
	if
	:: e == poison -> die(c)
	:: else
	fi
}

inline die(c) {
	state[c] = ended; consumers[c].call = NONE; consumers[c].age = 0; consumers[c].asked = 0;
	k = 0;
	do
	:: k < ENTRIES -> drop(c, k); consumers[c].renewed = false; k++
	:: else -> break
	od;
	k = 0;
	do
	:: k < CONSUMERS -> consumers[c].observed[k] = 0; consumers[c].unchanged[k] = 0; k++
	:: else -> break
	od
}

/* The oldest entry that consumer c has in flight. */
#define oldest(c) (consumers[c].has[0] -> 0 : 1)

proctype Python(byte c) {
	byte k;
end:
	do
	:: atomic { !allFinished && state[c] == running && !holds(c) && delivered < ENTRIES ->
		readBatch(c); consumers[c].age = 0; begin(c, oldest(c)); k = 0 }
	:: atomic { !allFinished && state[c] == running && holds(c) ->
		if
		:: consumers[c].call != NONE ->
			k = consumers[c].call; settle(k); finish(k); drop(c, k); consumers[c].call = NONE; consumers[c].age = 0
		:: else
		fi;
		if
		:: holds(c) -> begin(c, oldest(c))
		:: else
		fi;
		k = 0 }
	od
}

/* renew renews what is in flight, and ends the calls of what another has. */
inline renew(c) {
	e = 0;
	do
	:: e < ENTRIES ->
		if
		:: consumers[c].has[e] && owner[e] == c ->
			if
			:: NO_RENEWAL
			:: else -> idle[e] = 0; seen[c] = 0
			fi
		:: consumers[c].has[e] && owner[e] != c ->
			drop(c, e); consumers[c].call = (consumers[c].call == e -> NONE : consumers[c].call)
		:: else
		fi;
		e++
	:: else -> break
	od;
	if
	:: pending[c] == 0 -> seen[c] = 0
	:: else
	fi;
	silent[c] = 0; stopped[c] = false; consumers[c].renewed = true;
	consumers[c].age = (consumers[c].call == NONE -> 0 : consumers[c].age)
}

/* observe finds out how many entries the others have pending. */
inline observe(c) {
	k = 0;
	do
	:: k < CONSUMERS ->
		if
		:: k == c
		:: k != c && (consumers[c].observed[k] != pending[k] || seen[k] <= consumers[c].asked) ->
			consumers[c].unchanged[k] = (NO_PENDING && pending[k] > 0 -> consumers[c].unchanged[k] : 0);
			consumers[c].observed[k] = pending[k]
		:: else
		fi;
		k++
	:: else -> break
	od;
	consumers[c].asked = 0
}

/* takeOver takes the oldest entry of a consumer that shows no life. */
inline takeOver(c, from) {
	e = 0;
	do
	:: e < ENTRIES && !(owner[e] == from && (idle[e] >= IDLE || NO_IDLE)) -> e++
	:: else -> break
	od;
	if
	:: e < ENTRIES && (pending[from] == consumers[c].observed[from] || NO_PENDING) && (seen[from] >= IDLE || NO_IDLE) ->
		/* It has ended, or was suspended and without a sign of life for a whole claim_idle_seconds. */
		assert(state[from] == ended || stopped[from] && silent[from] >= IDLE);
		owner[e] = c; pending[from]--; pending[c]++; idle[e] = 0; showLife(c);
		consumers[c].has[e] = true; consumers[c].taken[e] = count[e]; consumers[c].observed[from] = pending[from]
	:: else -> consumers[c].unchanged[from] = 0
	fi
}

/* attempt records that entry e is called again, and with it what else was taken over. */
inline attempt(c, e) {
	k = 0;
	do
	:: k < ENTRIES ->
		if
		:: consumers[c].taken[k] > 0 && owner[k] == c ->
			count[k] = consumers[c].taken[k] + 1; idle[k] = 0; showLife(c);
			/* On record are its own calls, and that it was read. */
			assert(count[k] <= calls[k] + (k == e -> 2 : 1))
		:: else ->
			if
			:: consumers[c].taken[k] > 0 -> drop(c, k)
			:: else
			fi
		fi;
		k++
	:: else -> break
	od
}

/* work begins the next call, and gives up what is poison. */
inline work(c) {
	do
	:: state[c] == running && consumers[c].call == NONE && holds(c) ->
		e = oldest(c);
		if
		:: consumers[c].taken[e] > ATTEMPTS -> /* a dead letter, where it is still owned */
			if
			:: owner[e] == c -> settle(e); finish(e)
			:: else
			fi;
			drop(c, e)
		:: consumers[c].taken[e] > 0 && consumers[c].taken[e] <= ATTEMPTS ->
			attempt(c, e);
			if
			:: consumers[c].has[e] -> begin(c, e)
			:: else
			fi
		:: else -> begin(c, e)
		fi
	:: else -> break
	od;
	e = 0; k = 0
}

proctype Engine(byte c) {
	byte e, k;
end:
	do
	:: atomic { !allFinished && state[c] == running && !consumers[c].renewed -> renew(c); observe(c); work(c) }
	:: atomic { !allFinished && state[c] == running && !hasFresh(c) && delivered < ENTRIES -> readBatch(c); work(c) }
	:: atomic { !allFinished && state[c] == running && canTake(c) ->
		do
		:: canTake(c) -> k = first(c); takeOver(c, k)
		:: else -> break
		od;
		work(c) }
	:: atomic { !allFinished && state[c] == running && consumers[c].call != NONE ->
		e = consumers[c].call; settle(e); finish(e); drop(c, e); consumers[c].call = NONE; consumers[c].age = 0;
		work(c) }
	od
}

proctype Clock() {
	byte c, k;
end:
	do
	:: atomic { !allFinished && inTime(0) && inTime(1) && inTime(2) &&
		(state[0] == running || state[1] == running || state[2] == running) ->
		d_step {
		k = 0;
		do
		:: k < ENTRIES ->
			assert(k >= delivered || owner[k] != NONE || finished[k]);
			idle[k] = (owner[k] == NONE -> 0 : older(idle[k])); k++
		:: else -> break
		od;
		c = 0;
		do
		:: c < CONSUMERS ->
			seen[c] = (pending[c] > 0 -> older(seen[c]) : 0); silent[c] = (pending[c] > 0 && state[c] != ended -> older(silent[c]) : 0);
			if
			:: state[c] != ended ->
				consumers[c].renewed = false; consumers[c].asked = older(consumers[c].asked);
				if
				:: state[c] == running && (consumers[c].call != NONE || isPython(c) && holds(c)) -> consumers[c].age++
				:: else
				fi;
				k = 0;
				do
				:: k < CONSUMERS ->
					consumers[c].unchanged[k] = (consumers[c].observed[k] > 0 -> older(consumers[c].unchanged[k]) : 0); k++
				:: else -> break
				od
			:: else
			fi;
			c++
		:: else -> break
		od;
		c = 0; k = 0 } }
	od
}

/* Faults ends and suspends engines. One at least goes on. */
proctype Faults() {
	byte k;
	bool ends = (poison == NONE);
	bool suspends = true;
end:
	do
	:: atomic { !allFinished && ends && state[0] == running -> ends = false; die(0); k = 0 }
	:: atomic { !allFinished && ends && state[1] == running -> ends = false; die(1); k = 0 }
	:: atomic { !allFinished && suspends && state[0] == running && !python -> suspends = false; state[0] = suspended; stopped[0] = true }
	:: atomic { !allFinished && suspends && state[1] == running -> suspends = false; state[1] = suspended; stopped[1] = true }
	:: atomic { !allFinished && state[0] == suspended -> state[0] = running }
	:: atomic { !allFinished && state[1] == suspended -> state[1] = running }
	od
}

init {
	byte k;
	atomic {
		if
		:: poison = 0
		:: poison = NONE
		fi;
		if
		:: python = true; run Python(0)
		:: run Engine(0)
		fi;
		if
		:: batch = ENTRIES
		:: skip
		fi;
		readBatch(0);
		k = 1;
		do
		:: k < CONSUMERS -> run Engine(k); k++
		:: else -> break
		od;
		run Clock();
		run Faults()
	}
}

/* No entry is lost: in the end each is handled or given up. */
ltl nothingLost { <> allFinished }
