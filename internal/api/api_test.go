package api

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type handler interface {
	Get(ctx context.Context, in *string) (*string, error)
}

type getter func(*string) (*string, error)

func (g getter) Get(_ context.Context, in *string) (*string, error) { return g(in) }

func TestBind(t *testing.T) {
	op := Bind(Operation{Name: "Get"}, handler.Get)
	out, err := op.Call(t.Context(), getter(func(in *string) (*string, error) { return new(*in + "!"), nil }), new("in"))
	if s, ok := out.(*string); !ok || *s != "in!" || err != nil {
		t.Errorf("got %v, %v", out, err)
	}
	out, err = op.Call(t.Context(), getter(func(*string) (*string, error) { return nil, nil }), new("in"))
	if s, ok := out.(*string); !ok || *s != "" || err != nil {
		t.Errorf("no output became %v, %v", out, err)
	}
	out, err = op.Call(t.Context(), getter(func(*string) (*string, error) { return nil, errors.ErrUnsupported }), new("in"))
	if out != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an error became %v, %v", out, err)
	}
}

func TestErrors(t *testing.T) {
	gone := ErrorType{Shape: "GoneException", Code: "Gone", Status: 404, Fault: Sender}
	cause := errors.New("the cause")
	err := fmt.Errorf("wrapped: %w", gone.New("%s is gone", "it").Because(cause))
	if !gone.Is(err) || (ErrorType{Code: "Other"}).Is(err) || gone.Is(cause) || gone.Is(nil) {
		t.Error("Is is wrong")
	}
	if !errors.Is(err, cause) || err.Error() != "wrapped: Gone: it is gone: the cause" {
		t.Errorf("got %v", err)
	}
	if e := Errorf(503, "Busy", "x"); e.Fault != Receiver || e.Error() != "Busy: x" {
		t.Errorf("got %+v", e)
	}
}

func TestAbsent(t *testing.T) {
	s := &Service{Others: "\nGet\nPut PUT /things/{id}\n"}
	var got []string
	for _, op := range s.Absent() {
		got = append(got, op.Name+" "+op.Method+" "+op.URI)
	}
	if d := cmp.Diff([]string{"Get  ", "Put PUT /things/{id}"}, got); d != "" {
		t.Error(d)
	}
}
