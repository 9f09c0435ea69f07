/*
 * rfc8448.h: what RFC 8448, section 3 ("Simple 1-RTT Handshake"), says of secrets, keys and records, as text of hex.
 */
#ifndef TEST_UNIT_RFC8448_H
#define TEST_UNIT_RFC8448_H

/* A traffic secret, its write key and IV. */
static const struct {
    const char *what, *secret, *key, *iv;
} rfc8448_keys[] = {
    {"server handshake", "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
     "3fce516009c21727d0f2e4e86ee403bc", "5d313eb2671276ee13000b30"},
    {"client handshake", "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
     "dbfaa693d1762c5b666af5d950258d01", "5bd3c71b836e0b76bb73265f"},
    {"server application", "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
     "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"},
    {"client application", "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
     "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"},
};
enum { RFC8448_SERVER_HANDSHAKE, RFC8448_CLIENT_HANDSHAKE, RFC8448_SERVER, RFC8448_CLIENT };

/* The secrets of the schedule; what was agreed upon; the digests of what was said up to ServerHello, and up to the
 * server's Finished. */
#define RFC8448_EARLY       "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
#define RFC8448_AGREED      "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"
#define RFC8448_HANDSHAKE   "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
#define RFC8448_MASTER      "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"
#define RFC8448_HELLOS      "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"
#define RFC8448_TO_FINISHED "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13"

/* The keys that Finished is made with, from the handshake secrets. */
#define RFC8448_SERVER_FINISHED "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"
#define RFC8448_CLIENT_FINISHED "b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4"

/* Records with their number, type and what they carry. */
static const struct {
    const char *what;
    int keys, seq, type;
    const char *record, *plain;
} rfc8448_records[] = {
    {"Finished of the client", RFC8448_CLIENT_HANDSHAKE, 0, 22,
     "170303003575ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc46deb384bd1caeacab6867d726c4"
     "0546",
     "14000020a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61"},
    {"data of the client", RFC8448_CLIENT, 0, 23,
     "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2"
     "977014bd1e3deae63aeebb21694915e4",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"},
    {"data of the server", RFC8448_SERVER, 1, 23,
     "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a2"
     "1c0047c2abf332540dd032e167c2955d",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"},
    {"close_notify of the client", RFC8448_CLIENT, 1, 21, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
     "0100"},
    {"close_notify of the server", RFC8448_SERVER, 2, 21, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
     "0100"},
};

/* Not in the RFC, but from its secrets, as another implementation has them: the application secrets after a
 * KeyUpdate. */
#define RFC8448_SERVER_NEXT "51921b8aa3001976eb401d0a4319a8516416a6c56001a357e5d162031e84f916"
#define RFC8448_CLIENT_NEXT "fcdfcc72725aaee48bf64e4fd8b749cdbdbab39d90da0b26e2245ca6ea167207"

#endif
