/*
 * ring.pml: the ring (mario/base/spsc.h) and the doorbell (mario/base/doorbell.h) as one model for spin, checked by exhaustion.
 *
 * P producers, each with a ring of CAP slots and N elements to send; one owner that sleeps on the eventfd,
 * edge-triggered. The steps are those of the C code, in its order. ./run says which sizes and which mutants are checked.
 *
 * Spin interleaves whole steps, so by itself it knows no reordering. The model therefore keeps what C11 says about
 * visibility as data:
 *   - tail and head only grow and have one writer, so a load may give any value between the oldest that its thread may
 *     still see and the newest there is: chosen freely, for every load.
 *   - each value stored carries what its writer had done before (how many slots it had written or read), if
 *     stored with release; a load with acquire takes that over. Relaxed carries or takes nothing.
 *   - the word is changed by read-modify-writes only, so each sees the newest value and what earlier ones carried stays.
 *   - a slot is plain memory: touching it without knowing that the other side's last access is over is a race,
 *     which is an error whatever value is read.
 * So release turned into relaxed fails here, also where the machine that runs this would never show it. That writing
 * an eventfd orders anything is not relied on.
 *
 * Wrong is: an element overwritten, read twice, out of order or unwritten; more than one write to the eventfd between
 * two answers; and an owner asleep while there is something to read.
 */
#ifndef P
#define P 1
#endif
#ifndef N
#define N 4
#endif
#ifndef CAP
#define CAP 2
#endif

#define WRAP 8  /* indices run over here, in C at 2^32 */
#define START 6 /* so that they soon do */
#define MASK (CAP - 1)
#define INDEX(count) ((START + (count)) % WRAP)
#define DISTANCE(a, b) (((a) + WRAP - (b)) % WRAP)
#define AT(r, i) ((r) * (N + 1) + (i))

#ifdef SHARED_BIT
#define BIT(r) 1
#else
#define BIT(r) (1 << (r))
#endif

#define RAISE(view, to) if :: (view) < (to) -> view = (to) :: else fi

/* Memory orders as the C code has them; a mutant takes one away. */
#ifdef TAIL_STORE_RELAXED
#define TAIL_RELEASE 0
#else
#define TAIL_RELEASE 1
#endif
#ifdef TAIL_LOAD_RELAXED
#define TAIL_ACQUIRE 0
#else
#define TAIL_ACQUIRE 1
#endif
#ifdef HEAD_STORE_RELAXED
#define HEAD_RELEASE 0
#else
#define HEAD_RELEASE 1
#endif
#ifdef HEAD_LOAD_RELAXED
#define HEAD_ACQUIRE 0
#else
#define HEAD_ACQUIRE 1
#endif
#ifdef RING_RELAXED
#define RING_RELEASE 0
#else
#define RING_RELEASE 1
#endif
#if defined(RING_RELAXED) || defined(RING_RELEASE_ONLY)
#define RING_ACQUIRE 0
#else
#define RING_ACQUIRE 1
#endif
#ifdef ANSWER_RELAXED
#define ANSWER_ACQUIRE 0
#else
#define ANSWER_ACQUIRE 1
#endif
#if defined(ANSWER_RELAXED) || defined(ANSWER_ACQUIRE_ONLY)
#define ANSWER_RELEASE 0
#else
#define ANSWER_RELEASE 1
#endif

/* ---- The rings: tail and head count from 0, what C stores is INDEX() of them ---- */
byte tail[P];
byte head[P];
byte slot[P * CAP];
byte wrote[P];                /* slots written, also those not published yet */
byte got[P];                  /* slots read, also those not given back yet */
byte tail_says[P * (N + 1)];  /* with this tail: slots whose writing is known to be over */
byte head_says[P * (N + 1)];  /* with this head: slots whose reading is known to be over */

/* ---- The doorbell ---- */
byte word;
bool edge;      /* epoll would wake the owner */
byte writes;    /* of the eventfd, since the last answer */
byte word_tail[P], word_wrote[P], word_head[P], word_got[P]; /* what the word carries */

/* ---- What a thread knows ---- */
byte producer_head[P]; /* the oldest head it may still see */
byte producer_got[P];  /* slots whose reading is over */
byte owner_tail[P];    /* the oldest tail it may still see */
byte owner_wrote[P];   /* slots whose writing is over */

#ifdef LOOK_FIRST
/* This mutant alone loads the word, so it alone needs the word's past, which may be seen late like tail and head. */
#define PAST 40
byte past[PAST];
byte now;              /* past[now] is the newest */
byte producer_now[P];  /* the oldest it may still see */
byte head_now[P * (N + 1)];
#define WORD_CHANGED() now++; assert(now < PAST); past[now] = word
#else
#define WORD_CHANGED() skip
#endif

/* ---- doorbell_ring() ---- */
inline ring(me, old)
{
#ifdef LOOK_FIRST
    atomic { /* if (atomic_load(&d->word) & bit) return; */
        old = producer_now[me];
        do
        :: old < now -> old++
        :: break
        od;
        producer_now[me] = old;
        old = past[old]
    }
    if
    :: old & BIT(me) -> goto rung
    :: else
    fi;
#endif
#ifdef RING_IN_TWO_STEPS
    old = word;
#endif
    atomic {
#ifndef RING_IN_TWO_STEPS
        old = word;
#endif
        word = old | BIT(me);
        WORD_CHANGED();
#ifdef LOOK_FIRST
        producer_now[me] = now;
#endif
        if
        :: RING_RELEASE ->
            RAISE(word_tail[me], tail[me]);
            RAISE(word_wrote[me], wrote[me])
        :: else
        fi;
        if
        :: RING_ACQUIRE ->
            RAISE(producer_head[me], word_head[me]);
            RAISE(producer_got[me], word_got[me])
        :: else
        fi;
#ifdef SECOND_WRITES
        old = !old;
#endif
#ifdef WRITES_FOR_ITS_BIT
        old = old & BIT(me);
#endif
        if
        :: old == 0 -> writes++; assert(writes <= 1) /* a burst is one write */
        :: else
        fi
    }
    if
    :: old == 0 -> edge = true /* write(d->fd) */
    :: else
    fi;
#ifdef LOOK_FIRST
rung:
#endif
    old = 0
}

inline fill(me)
{
    atomic {
        assert(wrote[me] < producer_got[me] + CAP); /* the slot's last reading is over */
        slot[me * CAP + (INDEX(wrote[me]) & MASK)] = wrote[me];
        wrote[me]++
    }
}

inline commit(me)
{
    atomic {
        tail[me]++;
        tail_says[AT(me, tail[me])] = (TAIL_RELEASE -> wrote[me] : 0)
    }
}

proctype producer(byte me)
{
    byte tries, seen, old;
    seen = INDEX(0); /* head_seen */
    do
    :: tries == N -> break
    :: else ->
        tries++;
again:  /* spsc_reserve() */
        if
#ifdef FULL_TOO_LATE
        :: DISTANCE(INDEX(tail[me]), seen) > MASK + 1 ->
#else
        :: DISTANCE(INDEX(tail[me]), seen) > MASK ->
#endif
            atomic { /* load head */
                old = producer_head[me];
                do
                :: old < head[me] -> old++
                :: break
                od;
                producer_head[me] = old;
#ifdef LOOK_FIRST
                if
                :: HEAD_ACQUIRE -> RAISE(producer_now[me], head_now[AT(me, old)])
                :: else
                fi;
#endif
                if
                :: HEAD_ACQUIRE -> RAISE(producer_got[me], head_says[AT(me, old)])
                :: else
                fi;
                seen = INDEX(old);
                old = 0
            };
            if
            :: DISTANCE(INDEX(tail[me]), seen) > MASK -> /* full: give this one up, or come back later */
                if
                :: goto next
                :: head[me] > producer_head[me] -> goto again
                fi
            :: else
            fi
        :: else
        fi;
#ifdef RING_BEFORE_PUSH
        ring(me, old);
        fill(me);
        commit(me);
#else
#ifdef TAIL_BEFORE_SLOT
        commit(me);
        fill(me);
#else
        fill(me);
        commit(me);
#endif
        ring(me, old);
#endif
next:   skip
    od
}

inline give_back(r)
{
    atomic {
        head[r]++;
        head_says[AT(r, head[r])] = (HEAD_RELEASE -> got[r] : 0);
#ifdef LOOK_FIRST
        head_now[AT(r, head[r])] = (HEAD_RELEASE -> owner_now : 0);
#endif
    }
}

inline use(r)
{
    atomic {
        assert(got[r] < owner_wrote[r]);                          /* the slot's writing is over */
        assert(slot[r * CAP + (INDEX(got[r]) & MASK)] == got[r]); /* and it is the next in order */
        got[r]++
    }
}

/* doorbell_ring() by the owner, which has taken its share and comes back for the rest. */
inline ring_myself(r)
{
    atomic {
        t = word;
        word = t | BIT(r);
        if
        :: t == 0 -> writes++; assert(writes <= 1)
        :: else
        fi
    }
    if
    :: t == 0 -> edge = true
    :: else
    fi;
    t = 0
}

/* Read a ring to its end. */
inline drain(r)
{
    do
    ::  /* spsc_front() */
        if
#ifdef NEVER_RELOADS
        :: INDEX(head[r]) == seen[r] && false ->
#else
        :: INDEX(head[r]) == seen[r] ->
#endif
            atomic { /* load tail */
                t = owner_tail[r];
                do
                :: t < tail[r] -> t++
                :: break
                od;
                owner_tail[r] = t;
                if
                :: TAIL_ACQUIRE -> RAISE(owner_wrote[r], tail_says[AT(r, t)])
                :: else
                fi;
                seen[r] = INDEX(t);
                t = 0
            }
        :: else
        fi;
        if
        :: INDEX(head[r]) == seen[r] -> break
        :: else
        fi;
#ifdef HEAD_BEFORE_SLOT
        give_back(r);
        use(r);
#else
        use(r);
        give_back(r);
#endif
#ifdef ONE_A_TURN
        ring_myself(r);
#endif
#if defined(ONE_A_RING) || defined(ONE_A_TURN)
        break
#endif
    od
}

/* doorbell_answer() */
inline answer()
{
#ifdef ANSWER_IN_TWO_STEPS
    who = word;
#endif
    atomic {
#ifndef ANSWER_IN_TWO_STEPS
        who = word;
#endif
        word = 0;
        WORD_CHANGED();
#ifdef LOOK_FIRST
        owner_now = now;
#endif
        writes = 0;
        for (r : 0 .. P - 1) {
            if
            :: ANSWER_ACQUIRE ->
                RAISE(owner_tail[r], word_tail[r]);
                RAISE(owner_wrote[r], word_wrote[r])
            :: else
            fi;
            if
            :: ANSWER_RELEASE ->
                RAISE(word_head[r], head[r]);
                RAISE(word_got[r], got[r])
            :: else
            fi
        }
        r = 0
    }
}

inline look()
{
    r = 0;
    do
    :: r == P -> break
    :: else ->
        if
#ifdef BIT_MEANS_ONE
        :: who & (1 << r) -> drain(r)
#else
        :: who & BIT(r) -> drain(r)
#endif
        :: else
        fi;
        r++
    od;
    r = 0
}

proctype owner()
{
    byte who, r, t;
    byte seen[P]; /* tail_seen */
#ifdef LOOK_FIRST
    byte owner_now;
#endif
    for (r : 0 .. P - 1) {
        seen[r] = INDEX(0)
    }
end_asleep: /* the only place where it may be at the end of all things */
    do
    :: atomic { edge -> edge = false }; /* epoll_wait(), edge-triggered */
#ifdef ANSWER_AFTER_LOOKING
        who = word;
        look();
        answer();
#else
        answer();
#ifdef CLEARS_AFTER_ANSWER
        edge = false; /* read(d->fd) */
#endif
        look();
#endif
        who = 0
    od
}

/* Nobody can go on, for ever: then everything that was sent has been read. */
proctype end_of_all_things()
{
    byte r;
    timeout;
    for (r : 0 .. P - 1) {
        assert(tail[r] == got[r]); /* no wake-up is lost */
        assert(got[r] == head[r])
    }
    assert(word == 0)
}

init
{
    byte i;
    atomic {
        for (i : 0 .. P - 1) {
            run producer(i)
        }
        run owner();
        run end_of_all_things()
    }
}
