// Command kafka_bench_go obeys the contract of tests/bench/src/lib.rs with franz-go.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	client      = "franz-go"
	inFlightMax = 100_000
	concurrency = 10_000
	batch       = 500
	poolSize    = 1 << 20
	step        = 61
)

var (
	operation string
	flags     = flag.NewFlagSet("kafka_bench_go", flag.ExitOnError)
	brokers   = flags.String("brokers", "", "addresses, host:port[,host:port…]")
	topic     = flags.String("topic", "", "the topic, which exists")
	messages  = flags.Int("messages", 0, "number of records")
	size      = flags.Int("size", 0, "bytes of each payload")
	group     = flags.String("group", "", "group of the consumer; default: one of its own")
	acks      = flags.String("acks", "all", "acknowledgements: all, 1 or 0")
	lingerMs  = flags.Int("linger-ms", 5, "how long a record waits for others")
	codec     = flags.String("codec", "none", "none, gzip, snappy, lz4 or zstd")
	rate      = flags.Int("rate", 1000, "records per second of latency")
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: kafka_bench_go produce|produce-batch|consume|latency --brokers B --topic T --messages N --size S")
	}
	operation = os.Args[1]
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err)
	}
	if *brokers == "" || *topic == "" || *messages < 1 || *size < 1 || *rate < 1 || *size > poolSize/2 {
		fail("--brokers, --topic, --messages and --size are needed")
	}
	switch operation {
	case "produce":
		oneByOne()
	case "produce-batch":
		inBatches()
	case "consume":
		consume()
	case "latency":
		latency()
	default:
		fail("unknown operation " + operation)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

// pool holds the same bytes as that of the other clients.
func newPool() []byte {
	words := [8]string{`"order":`, `"price":`, `"status"`, "customer", "shipped,", `"items":`, "currency", "quantity"}
	pool := make([]byte, 0, poolSize)
	state := uint64(0x9E3779B97F4A7C15)
	for len(pool) < poolSize {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		pool = append(pool, words[state&7]...)
		rotated := state<<32 | state>>32
		for i := 0; i < 8; i++ {
			pool = append(pool, "0123456789abcdef"[rotated>>(8*i)&15])
		}
	}
	return pool
}

func payload(pool []byte, number int) []byte {
	begin := number * step % (poolSize - *size)
	return pool[begin : begin+*size]
}

func report(n int, bytes int64, began time.Time) {
	seconds := time.Since(began).Seconds()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	say(map[string]any{
		"client": client, "op": operation, "messages": n, "bytes": bytes, "seconds": seconds,
		"cpu_user":   time.Duration(usage.Utime.Nano()).Seconds(),
		"cpu_sys":    time.Duration(usage.Stime.Nano()).Seconds(),
		"max_rss_kb": usage.Maxrss,
	})
}

func say(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

func producerOptions() []kgo.Opt {
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.ProducerLinger(time.Duration(*lingerMs) * time.Millisecond),
		kgo.MaxBufferedRecords(inFlightMax),
	}
	switch *acks {
	case "all", "-1":
		options = append(options, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		fail("--acks " + *acks)
	}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	chosen, known := codecs[*codec]
	if !known {
		fail("--codec " + *codec)
	}
	// librdkafka's producers are not idempotent unless told so; neither is this one.
	if *acks == "all" || *acks == "-1" {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return append(options, kgo.ProducerBatchCompression(chosen))
}

func newClient(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(options...)
	if err != nil {
		fail(err)
	}
	return made
}

// oneByOne has many goroutines, each of which sends and waits, again and again.
func oneByOne() {
	producer := newClient(producerOptions()...)
	defer producer.Close()
	pool := newPool()
	began := time.Now()
	var senders sync.WaitGroup
	for first := 0; first < min(concurrency, *messages); first++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for number := first; number < *messages; number += concurrency {
				record := &kgo.Record{Value: payload(pool, number)}
				if err := producer.ProduceSync(context.Background(), record).FirstErr(); err != nil {
					fail(err)
				}
			}
		}()
	}
	senders.Wait()
	report(*messages, int64(*messages)*int64(*size), began)
}

// inBatches hands records over one after the other with a promise each, which is how franz-go sends many.
func inBatches() {
	producer := newClient(producerOptions()...)
	defer producer.Close()
	pool := newPool()
	began := time.Now()
	var delivered atomic.Int64
	done := make(chan struct{})
	for number := 0; number < *messages; number++ {
		producer.Produce(context.Background(), &kgo.Record{Value: payload(pool, number)}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
			if delivered.Add(1) == int64(*messages) {
				close(done)
			}
		})
	}
	<-done
	report(*messages, int64(*messages)*int64(*size), began)
}

func consumerOptions(from kgo.Offset) []kgo.Opt {
	name := *group
	if name == "" {
		name = fmt.Sprintf("bench-%d-%x", os.Getpid(), time.Now().UnixNano())
	}
	return []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumerGroup(name),
		kgo.ConsumeResetOffset(from),
		kgo.DisableAutoCommit(),
	}
}

func consume() {
	consumer := newClient(consumerOptions(kgo.NewOffset().AtStart())...)
	pool := context.Background()
	var (
		began, committed time.Time
		received         int
		bytes            int64
		sum              uint64
	)
	for received < *messages {
		fetches := consumer.PollRecords(pool, batch)
		if err := fetches.Err(); err != nil {
			fail(err)
		}
		if received == 0 {
			began = time.Now()
			committed = began
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if n := len(record.Value); n > 0 {
				sum += uint64(record.Value[0]) + uint64(record.Value[n-1])
				bytes += int64(n)
			}
			received++
		})
		if time.Since(committed) >= time.Second {
			consumer.CommitOffsets(pool, consumer.UncommittedOffsets(), nil)
			committed = time.Now()
		}
	}
	report(received, bytes, began)
	if sum == 0 {
		fail("payloads are text")
	}
	if err := consumer.CommitUncommittedOffsets(pool); err != nil {
		fail(err)
	}
	consumer.Close()
}

func latency() {
	consumer := newClient(consumerOptions(kgo.NewOffset().AtEnd())...)
	producer := newClient(producerOptions()...)
	zero := time.Now()
	var isReading atomic.Bool
	record := func(sent int64) *kgo.Record {
		value := make([]byte, max(8, *size))
		for i := range value {
			value[i] = '.'
		}
		binary.LittleEndian.PutUint64(value, uint64(sent))
		return &kgo.Record{Value: value}
	}
	go func() {
		for !isReading.Load() {
			if err := producer.ProduceSync(context.Background(), record(0)).FirstErr(); err != nil {
				fail(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		due := time.Now()
		for number := 0; number < *messages; number++ {
			time.Sleep(time.Until(due))
			producer.Produce(context.Background(), record(time.Since(zero).Nanoseconds()), func(_ *kgo.Record, err error) {
				if err != nil {
					fail(err)
				}
			})
			due = due.Add(time.Second / time.Duration(*rate))
		}
	}()
	taken := make([]float64, 0, *messages)
	for len(taken) < *messages {
		fetches := consumer.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			fail(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if len(record.Value) < 8 {
				return
			}
			if sent := binary.LittleEndian.Uint64(record.Value); sent == 0 {
				isReading.Store(true)
			} else {
				taken = append(taken, float64(time.Since(zero).Nanoseconds()-int64(sent))/1e3)
			}
		})
	}
	// Connections are made during the first tenth.
	steady := taken[len(taken)/10:]
	sort.Float64s(steady)
	at := func(perMille int) float64 { return steady[(len(steady)*perMille+999)/1000-1] }
	say(map[string]any{
		"client": client, "op": operation, "messages": len(taken),
		"p50_us": at(500), "p99_us": at(990), "p999_us": at(999), "max_us": at(1000),
	})
	producer.Close()
	consumer.Close()
}
