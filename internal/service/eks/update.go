package eks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Update is a change of a cluster, a node group or an add-on, while it is made
// and afterwards.
type Update struct {
	ID        string
	Cluster   string
	Nodegroup string // "" for the cluster's own and add-ons'
	Addon     string
	Type      string // LoggingUpdate, ConfigUpdate, …
	Params    []Param
	Status    string // InProgress, Successful, Failed, Cancelled
	Errors    []Issue
	Created   time.Time
	Request   request
}

// Param is what an update changes.
type Param struct{ Type, Value string }

// Key is the update's key in the store.
func (u Update) Key() string { return u.Cluster + "/" + u.ID }

// The states of an update.
const (
	inProgress = string(eksapi.UpdateStatusInProgress)
	successful = string(eksapi.UpdateStatusSuccessful)
	failed     = string(eksapi.UpdateStatusFailed)
	cancelled  = string(eksapi.UpdateStatusCancelled)
)

func (s *Service) newUpdate(a about, kind eksapi.UpdateType, params []Param, req request) Update {
	return Update{
		ID: uuid.NewString(), Cluster: a.cluster, Nodegroup: a.nodegroup, Addon: a.addon,
		Type: string(kind), Params: params, Status: inProgress, Created: s.time(), Request: req,
	}
}

// param is a Param of which value is text already, or is written as JSON.
func param(kind eksapi.UpdateParamType, value any) Param {
	text, ok := value.(string)
	if !ok {
		data, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("eks: the parameter %s cannot be written: %v", kind, err)) // strings and numbers
		}
		text = string(data)
	}
	return Param{string(kind), text}
}

func (u Update) describe() *eksapi.Update {
	out := &eksapi.Update{
		Id: &u.ID, Status: eksapi.UpdateStatus(u.Status), Type: eksapi.UpdateType(u.Type), CreatedAt: &u.Created,
		Params: []eksapi.UpdateParam{}, Errors: []eksapi.ErrorDetail{},
	}
	for _, p := range u.Params {
		out.Params = append(out.Params, eksapi.UpdateParam{Type: eksapi.UpdateParamType(p.Type), Value: &p.Value})
	}
	for _, e := range u.Errors {
		out.Errors = append(out.Errors, eksapi.ErrorDetail{
			ErrorCode: eksapi.ErrorCode(e.Code), ErrorMessage: &e.Message, ResourceIds: e.Resources})
	}
	return out
}

// repeated finds the update that the same call has made before.
func (s *Service) repeated(ctx context.Context, a about, req request) (*Update, error) {
	if req.Token == "" {
		return nil, nil
	}
	items, _, err := s.Updates.List(ctx, a.cluster+"/")
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if u := item.Value; req.repeats(u.Request) {
			return &u, nil
		}
	}
	return nil, nil
}

// endUpdate is the operation that ends an update, none if there is nothing to end.
func (s *Service) endUpdate(ctx context.Context, cluster, id, status string, errs []Issue) ([]store.Op, error) {
	if id == "" {
		return nil, nil
	}
	item, err := s.Updates.Get(ctx, Update{Cluster: cluster, ID: id}.Key())
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || item.Value.Status != inProgress {
		return nil, err
	}
	item.Value.Status, item.Value.Errors = status, errs
	return []store.Op{s.Updates.UpdateOp(item)}, nil
}

// dropUpdates are the operations that remove the updates of what is gone.
func (s *Service) dropUpdates(ctx context.Context, a about) error {
	items, _, err := s.Updates.List(ctx, a.cluster+"/")
	if err != nil {
		return err
	}
	for _, item := range items {
		if u := item.Value; a != (about{cluster: a.cluster}) && (u.Nodegroup != a.nodegroup || u.Addon != a.addon) {
			continue
		}
		if err := s.Updates.Delete(ctx, item.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// checkSubject wants the cluster, and the node group or add-on if one is named.
func (s *Service) checkSubject(ctx context.Context, a about) error {
	if _, err := s.cluster(ctx, &a.cluster); err != nil {
		return err
	}
	if a.nodegroup != "" {
		if _, err := s.nodegroup(ctx, a); err != nil {
			return err
		}
	}
	if a.addon != "" {
		if _, err := s.addon(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// DescribeUpdate shows an update.
func (s *Service) DescribeUpdate(ctx context.Context, in *eksapi.DescribeUpdateInput) (*eksapi.DescribeUpdateOutput, error) {
	a := about{api.Val(in.Name), api.Val(in.NodegroupName), api.Val(in.AddonName)}
	if err := s.checkSubject(ctx, a); err != nil {
		return nil, err
	}
	item, err := s.Updates.Get(ctx, Update{Cluster: a.cluster, ID: api.Val(in.UpdateId)}.Key())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if u := item.Value; err != nil || u.Nodegroup != a.nodegroup || u.Addon != a.addon {
		return nil, a.missing("No update found for ID: %s", api.Val(in.UpdateId))
	}
	return &eksapi.DescribeUpdateOutput{Update: item.Value.describe()}, nil
}

// ListUpdates lists the ids of the updates of a cluster, or of one of its node
// groups or add-ons, the oldest first.
func (s *Service) ListUpdates(ctx context.Context, in *eksapi.ListUpdatesInput) (*eksapi.ListUpdatesOutput, error) {
	a := about{api.Val(in.Name), api.Val(in.NodegroupName), api.Val(in.AddonName)}
	if err := s.checkSubject(ctx, a); err != nil {
		return nil, err
	}
	items, _, err := s.Updates.List(ctx, a.cluster+"/")
	if err != nil {
		return nil, err
	}
	const sortable = "2006-01-02T15:04:05.000"
	keys, next, err := page(namesOf(items, func(u Update) string {
		if u.Nodegroup != a.nodegroup || u.Addon != a.addon {
			return ""
		}
		return u.Created.Format(sortable) + u.ID
	}), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		keys[i] = k[len(sortable):]
	}
	return &eksapi.ListUpdatesOutput{UpdateIds: keys, NextToken: next}, nil
}
