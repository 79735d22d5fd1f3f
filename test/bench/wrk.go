package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// atWork is how many connections a load has at once.
const atWork = 64

// outcome is what a client saw in one run of a load.
type outcome struct {
	Requests int // that were answered
	Errors   int // answers other than 2xx and 3xx, connections that failed, requests that took too long
	Seconds  float64
	P50, P99 float64 // ms
}

// wrk sends requests from one thread: https://github.com/wg/wrk. It takes no
// certificate for wrong, and goes on with its TLS sessions in new connections.
func wrk(ctx context.Context, address, path string, during time.Duration, closing bool) (outcome, error) {
	binary, err := program("wrk")
	if err != nil {
		return outcome{}, err
	}
	args := []string{"-t1", fmt.Sprintf("-c%d", atWork), fmt.Sprintf("-d%ds", int(during.Seconds())), "--latency", "-H", "Host: " + served}
	if closing {
		args = append(args, "-H", "Connection: close")
	}
	ctx, cancel := context.WithTimeout(ctx, during+time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, append(args, "https://"+address+path)...).CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	o, err := parseWrk(string(out))
	if err != nil {
		return outcome{}, fmt.Errorf("%w\n%s", err, out)
	}
	return o, nil
}

var (
	wrkTotal   = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+[a-z]+),`)
	wrkLatency = regexp.MustCompile(`(?m)^\s*(50|99)%\s+([0-9.]+[a-z]+)\s*$`)
	wrkSocket  = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)\s*$`)
	wrkStatus  = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)\s*$`)
)

// parseWrk reads what wrk prints. Where no request was answered, none took long.
func parseWrk(out string) (o outcome, err error) {
	total := wrkTotal.FindStringSubmatch(out)
	if total == nil {
		return o, errors.New("wrk does not say how many requests it has made")
	}
	if o.Requests, err = strconv.Atoi(total[1]); err != nil {
		return o, err
	}
	took, err := time.ParseDuration(total[2])
	if err != nil {
		return o, err
	}
	o.Seconds = took.Seconds()
	for _, l := range wrkLatency.FindAllStringSubmatch(out, -1) {
		took, err := time.ParseDuration(l[2])
		if err != nil {
			return o, err
		}
		if l[1] == "50" {
			o.P50 = milliseconds(took)
		} else {
			o.P99 = milliseconds(took)
		}
	}
	if o.Requests > 0 && (o.P50 == 0 || o.P99 == 0) {
		return o, errors.New("wrk does not say how long its requests took")
	}
	count := func(numbers []string) (sum int) {
		for _, number := range numbers[min(1, len(numbers)):] {
			n, atoi := strconv.Atoi(number)
			err = errors.Join(err, atoi)
			sum += n
		}
		return sum
	}
	refused := count(wrkStatus.FindStringSubmatch(out))
	o.Errors = refused + count(wrkSocket.FindStringSubmatch(out))
	o.Requests -= refused // which wrk counts too
	return o, err
}
