/*
 * main.c: an MQTT server on libmario: the main thread makes it, becomes its master, and takes it down. How bytes become
 * packets is in frame.c, what they do in broker.c.
 *
 *     mqtt [ADDRESS]          ADDRESS as in maritcp's server.listen; without it 127.0.0.1:1883
 */
#include "mqtt.h"

enum { EXIT_NO_START = 2 };

static const struct {
    uint16 id;
    FUNC_PTR run;
} functions[] = {
    {MQTT_CONNECT, broker_connect},         {MQTT_PUBLISH, broker_publish},
    {MQTT_PUBLISH_RETAIN, broker_publish},  {MQTT_SUBSCRIBE, broker_subscribe},
    {MQTT_UNSUBSCRIBE, broker_unsubscribe}, {MQTT_PINGREQ, broker_ping},
    {MQTT_DISCONNECT, broker_disconnect},
};

static sint32 prepare(void)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (regist_akg_func(functions[i].id, functions[i].run) != 0)
            return -1;
    }
    if (regist_disconnected_func(broker_end) != 0 || topic_setup() != 0)
        return -1;
    return start_log_thread();
}

int main(int argc, char **argv)
{
    char listen[512];
    struct mario_options options;
    mario_options_init(&options);
    snprintf(listen, sizeof listen, "%s proto=mqtt", argc > 1 ? argv[1] : "127.0.0.1:1883");
    options.listen = listen;
    options.timeout = 0; /* a client says in its CONNECT how long it may be silent */
    options.admit_first_packet = 10;
    options.push_slow = MARIO_SLOW_DROP_OLDEST;
    if (regist_framing(&mqtt_framing) != 0) /* before the server is made: its addresses name it */
        return EXIT_NO_START;
    SERVER *server = mario_init_server(&options); /* says itself what is wrong */
    if (server == NULL)
        return EXIT_NO_START;
    int code = EXIT_NO_START;
    if (prepare() == 0) {
        start_server(server); /* until SIGTERM or SIGINT */
        code = mario_server_exit_code(server);
    } else {
        fprintf(stderr, "mqtt: a function or the log thread was refused\n");
    }
    mario_free_server(&server);
    return code;
}
