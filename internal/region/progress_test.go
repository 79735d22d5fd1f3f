package region

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// timeless compares events but for how long steps took.
var timeless = cmpopts.IgnoreFields(Event{}, "Elapsed")

func TestStep(t *testing.T) {
	p := newProgress()
	err := p.step("store", func(waiting func(string)) (string, error) {
		for _, what := range []string{"a", "a", "b", "b", "a"} {
			waiting(what)
		}
		return "done so", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no")
	if err := p.step("nodes", func(func(string)) (string, error) { return "not shown", cause }); err != cause {
		t.Errorf("%v", err)
	}
	got, _ := p.after(0)
	want := []Event{
		{Step: "store", State: StepBegan},
		{Step: "store", State: StepWaiting, Detail: "a"},
		{Step: "store", State: StepWaiting, Detail: "b"},
		{Step: "store", State: StepWaiting, Detail: "a"},
		{Step: "store", State: StepDone, Detail: "done so"},
		{Step: "nodes", State: StepBegan},
		{Step: "nodes", State: StepFailed},
	}
	if diff := cmp.Diff(want, got, timeless); diff != "" {
		t.Error(diff)
	}
	if got[4].Elapsed <= 0 {
		t.Error("the step took no time")
	}
	if late, _ := p.after(99); len(late) != 0 {
		t.Errorf("events of the future: %v", late)
	}
}

// follow is a client of stream: its events as they come.
func follow(t *testing.T, p *progress, from int, result <-chan error) *json.Decoder {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { stream(w, p, from, result) }))
	t.Cleanup(server.Close)
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return json.NewDecoder(response.Body)
}

func next(t *testing.T, d *json.Decoder) Event {
	t.Helper()
	var e Event
	if err := d.Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// What is there when the client comes arrives at once, what follows when it
// happens, the result last.
func TestStream(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		last Event
	}{
		{"it went well", nil, Event{State: Finished}},
		{"it failed", errors.New("the cause\nand more"), Event{State: Failed, Detail: "the cause\nand more"}},
	} {
		p, result := newProgress(), make(chan error, 1)
		p.emit(Event{Step: "0"})
		p.emit(Event{Step: "1"})
		p.emit(Event{Step: "2"})
		d := follow(t, p, 1, result)
		for _, want := range []string{"1", "2"} {
			if e := next(t, d); e.Step != want {
				t.Errorf("%s: %+v, want %s", test.name, e, want)
			}
		}
		p.emit(Event{Step: "3"})
		if e := next(t, d); e.Step != "3" {
			t.Errorf("%s: %+v, want 3", test.name, e)
		}
		p.emit(Event{Step: "4"})
		result <- test.err
		if e := next(t, d); e.Step != "4" {
			t.Errorf("%s: %+v, want 4", test.name, e)
		}
		if e := next(t, d); e != test.last {
			t.Errorf("%s: the last event is %+v, want %+v", test.name, e, test.last)
		}
		if err := d.Decode(&Event{}); err != io.EOF {
			t.Errorf("%s: after the end: %v", test.name, err)
		}
	}
}

// Every client gets every event once, in order, however the emitters race.
func TestStreamLosesNothing(t *testing.T) {
	p := newProgress()
	const clients, emitters, each = 4, 4, 50
	var results []chan error
	var followers []*json.Decoder
	for range clients {
		result := make(chan error, 1)
		results = append(results, result)
		followers = append(followers, follow(t, p, 0, result))
	}
	var wait sync.WaitGroup
	for range emitters {
		wait.Go(func() {
			for range each {
				p.emit(Event{State: StepWaiting})
			}
		})
	}
	wait.Wait()
	for _, r := range results {
		r <- nil
	}
	for _, d := range followers {
		var states []EventState
		for {
			e := next(t, d)
			states = append(states, e.State)
			if e.State == Finished {
				break
			}
		}
		if n := len(states) - 1; n != emitters*each || slices.Index(states, Finished) != n {
			t.Errorf("%d events, want %d and the end", n, emitters*each)
		}
	}
	if p.count() != emitters*each {
		t.Errorf("%d events", p.count())
	}
}

// flusher is a client that something happens to whenever it is sent something.
type flusher struct {
	*httptest.ResponseRecorder
	flushed func()
}

func (f flusher) Flush() { f.flushed() }

// An event that comes together with the result is before it.
func TestStreamEndsWithTheResult(t *testing.T) {
	for range 64 { // select throws dice
		p, result := newProgress(), make(chan error, 1)
		var once sync.Once
		w := flusher{httptest.NewRecorder(), func() {
			once.Do(func() {
				p.emit(Event{Step: "late"})
				result <- nil
			})
		}}
		stream(w, p, 0, result)
		d := json.NewDecoder(w.Body)
		if first, last := next(t, d), next(t, d); first.Step != "late" || last.State != Finished {
			t.Fatalf("%+v, then %+v", first, last)
		}
	}
}
