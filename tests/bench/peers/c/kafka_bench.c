/* The contract of tests/bench/src/lib.rs in plain C over librdkafka: what the library costs when nothing is around it. */

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "rdkafka.h"

enum {
    IN_FLIGHT_MAX = 100000,
    BATCH = 500,
    POOL = 1 << 20,
    STEP = 61,
    OPTIONS_MAX = 32,
    /* How many records are handed over between two looks for delivery reports. */
    RECORDS_PER_POLL = 64,
};

static const char *op, *brokers, *topic, *group, *acks = "all", *linger_ms = "5", *codec = "none";
static size_t messages, size;
static long rate = 1000;
static uint64_t work_ns;
static char *options[OPTIONS_MAX];
static int n_options;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The same bytes as in the other clients. */
static uint8_t *pool;

static void fill_pool(void) {
    static const char words[8][9] = {"\"order\":", "\"price\":", "\"status\"", "customer",
                                     "shipped,",   "\"items\":", "currency",   "quantity"};
    uint64_t state = 0x9E3779B97F4A7C15;
    if (size < 1 || size > POOL / 2) fail("--size", "out of bounds");
    pool = malloc(POOL);
    for (size_t at = 0; at < POOL; at += 16) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(pool + at, words[state & 7], 8);
        uint64_t rotated = state << 32 | state >> 32;
        for (int i = 0; i < 8; i++) pool[at + 8 + i] = (uint8_t) "0123456789abcdef"[rotated >> (8 * i) & 15];
    }
}

static void *payload(size_t number) {
    return pool + number * STEP % (POOL - size);
}

static void report(size_t n, uint64_t bytes, double seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"client\":\"c\",\"op\":\"%s\",\"messages\":%zu,\"bytes\":%llu,\"seconds\":%.6f,\"cpu_user\":%.6f,"
           "\"cpu_sys\":%.6f,\"max_rss_kb\":%ld}\n",
           op, n, (unsigned long long)bytes, seconds, (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6, usage.ru_maxrss);
    fflush(stdout);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) fail(name, error);
}

static void set_options(rd_kafka_conf_t *conf) {
    for (int i = 0; i < n_options; i++) {
        char *value = strchr(options[i], '=');
        if (!value) fail(options[i], "expected name=value");
        *value = 0;
        set(conf, options[i], value + 1);
        *value = '=';
    }
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char error[512];
    rd_kafka_t *rk = rd_kafka_new(type, conf, error, sizeof error);
    if (!rk) fail("rd_kafka_new", error);
    return rk;
}

/* Producing. */

static size_t n_delivered;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (message->err) fail("delivery", rd_kafka_err2str(message->err));
    n_delivered++;
}

static rd_kafka_t *new_producer(bool with_options) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char in_flight[16];
    snprintf(in_flight, sizeof in_flight, "%d", IN_FLIGHT_MAX);
    set(conf, "bootstrap.servers", brokers);
    set(conf, "acks", acks);
    set(conf, "linger.ms", linger_ms);
    set(conf, "compression.codec", codec);
    set(conf, "queue.buffering.max.messages", in_flight);
    if (with_options) set_options(conf);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return client(RD_KAFKA_PRODUCER, conf);
}

static void send_one(rd_kafka_t *rk, rd_kafka_topic_t *rkt, void *bytes, size_t len) {
    while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, bytes, len, NULL, 0, NULL)) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(rk, 100);
    }
}

static void send_batch(rd_kafka_t *rk, rd_kafka_topic_t *rkt, rd_kafka_message_t *batch, int n) {
    while (n > 0) {
        int accepted = rd_kafka_produce_batch(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, batch, n);
        int left = 0;
        for (int i = 0; accepted < n && i < n; i++) {
            if (!batch[i].err) continue;
            if (batch[i].err != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce_batch", rd_kafka_err2str(batch[i].err));
            batch[left++] = batch[i];
        }
        rd_kafka_poll(rk, left ? 100 : 0);
        n = left;
    }
}

static void produce(void) {
    rd_kafka_t *rk = new_producer(true);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    bool in_batches = !strcmp(op, "produce-batch");
    static rd_kafka_message_t batch[BATCH];
    fill_pool();
    uint64_t began = now_ns();
    for (size_t number = 0; number < messages;) {
        if (in_batches) {
            int n = 0;
            memset(batch, 0, sizeof batch);
            for (; n < BATCH && number < messages; n++, number++) {
                batch[n].payload = payload(number);
                batch[n].len = size;
            }
            send_batch(rk, rkt, batch, n);
        } else {
            send_one(rk, rkt, payload(number), size);
            if (++number % RECORDS_PER_POLL == 0) rd_kafka_poll(rk, 0);
        }
    }
    while (n_delivered < messages) rd_kafka_poll(rk, 100);
    report(messages, (uint64_t)messages * size, (double)(now_ns() - began) / 1e9);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
}

/* Consuming. */

static rd_kafka_t *new_consumer(const char *begin) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char own_group[64];
    snprintf(own_group, sizeof own_group, "bench-%d-%llx", getpid(), (unsigned long long)now_ns());
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", group ? group : own_group);
    set(conf, "auto.offset.reset", begin);
    set(conf, "enable.auto.commit", "false");
    set_options(conf);
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(rk, topics);
    if (error) fail("subscribe", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(topics);
    return rk;
}

static void consume(void) {
    rd_kafka_t *rk = new_consumer("earliest");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    static rd_kafka_message_t *batch[BATCH];
    uint64_t began = 0, committed = 0, bytes = 0, sum = 0;
    size_t received = 0;
    while (received < messages) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, BATCH);
        if (n > 0 && !began) committed = began = now_ns();
        for (ssize_t i = 0; i < n; i++) {
            rd_kafka_message_t *message = batch[i];
            if (!message->err) {
                const uint8_t *at = message->payload;
                if (message->len) sum += (uint64_t)at[0] + at[message->len - 1];
                bytes += message->len;
                received++;
            } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                fail("consume", rd_kafka_message_errstr(message));
            }
            rd_kafka_message_destroy(message);
        }
        if (work_ns && n > 0) {
            uint64_t until = now_ns() + work_ns * (uint64_t)n;
            while (now_ns() < until) continue;
        }
        if (began && now_ns() - committed >= 1000000000) {
            rd_kafka_commit(rk, NULL, 1);
            committed = now_ns();
        }
    }
    report(received, bytes, (double)(now_ns() - began) / 1e9);
    if (!sum) fail("consume", "payloads are text");
    rd_kafka_commit(rk, NULL, 1);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

/* Latency. */

static volatile bool is_reading;
static uint64_t zero;

static void *send_steadily(void *argument) {
    rd_kafka_t *rk = argument;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    size_t len = size < sizeof(uint64_t) ? sizeof(uint64_t) : size;
    uint8_t *bytes = malloc(len);
    memset(bytes, '.', len);
    while (!is_reading) {
        memset(bytes, 0, sizeof(uint64_t));
        send_one(rk, rkt, bytes, len);
        rd_kafka_poll(rk, 100);
    }
    uint64_t due = now_ns();
    for (size_t number = 0; number < messages; number++, due += 1000000000 / (uint64_t)rate) {
        struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        uint64_t sent = now_ns() - zero;
        memcpy(bytes, &sent, sizeof sent);
        send_one(rk, rkt, bytes, len);
        rd_kafka_poll(rk, 0);
    }
    free(bytes);
    rd_kafka_topic_destroy(rkt);
    return NULL;
}

static int by_size(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double at_us(const uint64_t *sorted, size_t n, size_t per_mille) {
    return (double)sorted[(n * per_mille + 999) / 1000 - 1] / 1e3;
}

static void latency(void) {
    rd_kafka_t *consumer = new_consumer("latest");
    rd_kafka_t *producer = new_producer(false);
    uint64_t *latencies = calloc(messages, sizeof *latencies);
    size_t n = 0;
    pthread_t sender;
    zero = now_ns();
    pthread_create(&sender, NULL, send_steadily, producer);
    while (n < messages) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (!message) continue;
        if (!message->err && message->len >= sizeof(uint64_t)) {
            uint64_t sent;
            memcpy(&sent, message->payload, sizeof sent);
            if (sent) latencies[n++] = now_ns() - zero - sent;
            else is_reading = true;
        }
        rd_kafka_message_destroy(message);
    }
    pthread_join(sender, NULL);
    /* Connections are made during the first tenth. */
    uint64_t *steady = latencies + messages / 10;
    n = messages - messages / 10;
    qsort(steady, n, sizeof *steady, by_size);
    printf("{\"client\":\"c\",\"op\":\"latency\",\"messages\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"max_us\":%.1f}\n",
           messages, at_us(steady, n, 500), at_us(steady, n, 990), at_us(steady, n, 999), at_us(steady, n, 1000));
    fflush(stdout);
    free(latencies);
    rd_kafka_flush(producer, 10000);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

int main(int argc, char **argv) {
    static const struct option flags[] = {
        {"brokers", 1, 0, 'b'}, {"topic", 1, 0, 't'},     {"messages", 1, 0, 'n'}, {"size", 1, 0, 's'},
        {"group", 1, 0, 'g'},   {"acks", 1, 0, 'a'},      {"linger-ms", 1, 0, 'l'}, {"codec", 1, 0, 'c'},
        {"rate", 1, 0, 'r'},    {"option", 1, 0, 'o'},    {"work-ns", 1, 0, 'w'},  {0, 0, 0, 0},
    };
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        switch (flag) {
        case 'b': brokers = optarg; break;
        case 't': topic = optarg; break;
        case 'n': messages = strtoul(optarg, NULL, 10); break;
        case 's': size = strtoul(optarg, NULL, 10); break;
        case 'g': group = optarg; break;
        case 'a': acks = optarg; break;
        case 'l': linger_ms = optarg; break;
        case 'c': codec = optarg; break;
        case 'r': rate = strtol(optarg, NULL, 10); break;
        case 'w': work_ns = strtoul(optarg, NULL, 10); break;
        case 'o':
            if (n_options == OPTIONS_MAX) fail("--option", "too many");
            options[n_options++] = optarg;
            break;
        default: return 2;
        }
    }
    op = optind < argc ? argv[optind] : "";
    if (!brokers || !topic || !messages || !size || rate < 1) {
        fprintf(stderr, "usage: kafka_bench_c produce|produce-batch|consume|latency --brokers B --topic T --messages N --size S\n");
        return 2;
    }
    if (!strcmp(op, "produce") || !strcmp(op, "produce-batch")) produce();
    else if (!strcmp(op, "consume")) consume();
    else if (!strcmp(op, "latency")) latency();
    else fail(op, "unknown operation");
    return 0;
}
