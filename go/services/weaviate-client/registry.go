package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// maxCollections is how many collections of one tenant can be listed: Weaviate's limit of one query.
const maxCollections = 10000

// registry knows which collections a tenant has. It keeps them in Weaviate, so that nothing but Weaviate has to be kept, and
// remembers those it has read; a collection that another replica deleted is noticed by the first call that fails on it.
// It is safe for concurrent use.
type registry struct {
	upstream *weaviate
	now      func() time.Time

	// changing is held while a collection is created or deleted, so that two calls for one name do not mix.
	changing sync.Mutex

	mu    sync.Mutex
	known map[collectionKey]Collection
}

type collectionKey struct{ tenant, name string }

func newRegistry(upstream *weaviate, now func() time.Time) *registry {
	return &registry{upstream: upstream, now: now, known: map[collectionKey]Collection{}}
}

func registryID(key collectionKey) string { return uuidOf(key.tenant + "/" + key.name) }

type registryObject struct {
	Class      string         `json:"class"`
	ID         string         `json:"id"`
	Properties registryFields `json:"properties"`
}

type registryFields struct {
	Record string `json:"record"`
	Tenant string `json:"tenant"`
}

// get returns a collection as Weaviate has it now.
//
// Errors: kindMissing, kindAway.
func (r *registry) get(ctx context.Context, tenant, name string) (Collection, error) {
	key := collectionKey{tenant, name}
	kept, found, err := r.read(ctx, key)
	if err == nil && !found {
		// A Weaviate that is starting does not know yet what it has: only one that was ready before it was asked is believed.
		if !r.upstream.ready(ctx) {
			return Collection{}, &vectorError{kind: kindAway}
		}
		kept, found, err = r.read(ctx, key)
	}
	if err != nil {
		return Collection{}, err
	}
	if !found {
		r.forget(key)
		return Collection{}, &vectorError{kind: kindMissing, name: name}
	}
	var c Collection
	if err := json.Unmarshal([]byte(kept.Properties.Record), &c); err != nil {
		return Collection{}, fmt.Errorf("read the record of collection %q of %s: %w", name, tenant, err)
	}
	r.mu.Lock()
	r.known[key] = c
	r.mu.Unlock()
	return c, nil
}

// read asks for the record of a collection; found is false where there is none, or no registry.
func (r *registry) read(ctx context.Context, key collectionKey) (kept registryObject, found bool, err error) {
	found, err = r.upstream.rest(ctx, http.MethodGet, "/v1/objects/"+registryClass+"/"+registryID(key), nil, &kept)
	if err != nil {
		missing, asked := r.noRegistry(ctx, err)
		if asked == nil && missing {
			return registryObject{}, false, nil
		}
		return registryObject{}, false, cmp.Or(asked, err)
	}
	return kept, found, nil
}

// noRegistry says whether a query failed because nobody has created a collection yet.
func (r *registry) noRegistry(ctx context.Context, failed error) (missing bool, err error) {
	if _, refused := errors.AsType[*upstreamError](failed); !refused {
		return false, failed
	}
	if !r.upstream.ready(ctx) {
		return false, &vectorError{kind: kindAway, cause: failed}
	}
	found, err := r.upstream.rest(ctx, http.MethodGet, "/v1/schema/"+registryClass, nil, nil)
	return !found, err
}

// find returns a collection, from memory where it is known.
//
// Errors: as get.
func (r *registry) find(ctx context.Context, tenant, name string) (Collection, error) {
	r.mu.Lock()
	c, found := r.known[collectionKey{tenant, name}]
	r.mu.Unlock()
	if found {
		return c, nil
	}
	return r.get(ctx, tenant, name)
}

func (r *registry) forget(key collectionKey) {
	r.mu.Lock()
	delete(r.known, key)
	r.mu.Unlock()
}

// list returns the collections of a tenant by name.
//
// Errors: kindAway.
func (r *registry) list(ctx context.Context, tenant string) ([]Collection, error) {
	reply, err := ask(ctx, r.upstream, "Search", func(ctx context.Context) (*pb.SearchReply, error) {
		return r.upstream.objects.Search(ctx, &pb.SearchRequest{
			Collection: registryClass, Uses_127Api: true, Limit: maxCollections,
			Properties: &pb.PropertiesRequest{NonRefProperties: []string{recordProperty}},
			Metadata:   &pb.MetadataRequest{Uuid: true},
			Filters: property(pb.Filters_OPERATOR_EQUAL, "tenant",
				&pb.Filters{TestValue: &pb.Filters_ValueText{ValueText: tenant}}),
		})
	})
	if err != nil {
		if missing, asked := r.noRegistry(ctx, err); asked != nil || !missing {
			return nil, cmp.Or(asked, err)
		}
		return nil, nil
	}
	collections := make([]Collection, len(reply.GetResults()))
	for i, result := range reply.GetResults() {
		if err := json.Unmarshal([]byte(recordOf(result)), &collections[i]); err != nil {
			return nil, fmt.Errorf("read the record of a collection of %s: %w", tenant, err)
		}
	}
	slices.SortFunc(collections, func(a, b Collection) int { return cmp.Compare(a.Name, b.Name) })
	return collections, nil
}

// create makes a collection; one that the same request made is returned as it is.
//
// Errors: kindConflict, kindExists, kindAway.
func (r *registry) create(ctx context.Context, c Collection) (Collection, error) {
	if err := c.Spec.check(); err != nil {
		return Collection{}, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	there, err := r.get(ctx, c.Tenant, c.Name)
	switch failed, known := errors.AsType[*vectorError](err); {
	case err == nil && there.RequestID == c.RequestID && there.Digest == c.Digest:
		return there, nil
	case err == nil:
		return Collection{}, &vectorError{kind: kindExists, name: c.Name}
	case !known || failed.kind != kindMissing:
		return Collection{}, err
	}
	if err := r.upstream.ensureClass(ctx, registryClassOf()); err != nil {
		return Collection{}, err
	}
	if err := r.upstream.ensureClass(ctx, classOf(c)); err != nil {
		return Collection{}, err
	}
	// What a creation or deletion that was cut off left behind must not come back to life.
	if err := r.upstream.dropShard(ctx, c); err != nil {
		return Collection{}, err
	}
	if err := r.upstream.addShard(ctx, c); err != nil {
		return Collection{}, err
	}
	c.CreateTime = r.now().UTC()
	data, err := json.Marshal(c)
	if err != nil {
		return Collection{}, fmt.Errorf("marshal a collection: %w", err)
	}
	key := collectionKey{c.Tenant, c.Name}
	kept := registryObject{Class: registryClass, ID: registryID(key), Properties: registryFields{Record: string(data), Tenant: c.Tenant}}
	if _, err := r.upstream.rest(ctx, http.MethodPost, "/v1/objects", kept, nil); err != nil {
		return Collection{}, err
	}
	r.mu.Lock()
	r.known[key] = c
	r.mu.Unlock()
	return c, nil
}

// drop deletes a collection: its objects first, so that a deletion that is cut off can be repeated.
//
// Errors: kindMissing, kindAway.
func (r *registry) drop(ctx context.Context, tenant, name string) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	c, err := r.get(ctx, tenant, name)
	if err != nil {
		return err
	}
	key := collectionKey{tenant, name}
	r.forget(key)
	if err := r.upstream.dropShard(ctx, c); err != nil {
		return err
	}
	_, err = r.upstream.rest(ctx, http.MethodDelete, "/v1/objects/"+registryClass+"/"+registryID(key), nil, nil)
	return err
}

// empty deletes the objects of a collection and keeps it.
//
// Errors: kindAway.
func (r *registry) empty(ctx context.Context, c Collection) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.upstream.dropShard(ctx, c); err != nil {
		return err
	}
	return r.upstream.addShard(ctx, c)
}

// explain finds out why Weaviate refused a call on a collection.
func (r *registry) explain(ctx context.Context, c Collection, failed error) error {
	if _, refused := errors.AsType[*upstreamError](failed); !refused {
		return failed
	}
	if !r.upstream.ready(ctx) {
		return &vectorError{kind: kindAway, cause: failed}
	}
	r.forget(collectionKey{c.Tenant, c.Name})
	if _, err := r.get(ctx, c.Tenant, c.Name); err != nil {
		return err
	}
	activity, err := r.upstream.activity(ctx, c)
	switch {
	case err == nil && activity == 0:
		return &vectorError{kind: kindMissing, name: c.Name, cause: failed}
	case err == nil && activity != Active:
		return &vectorError{kind: kindInactive, name: c.Name, detail: activity.String(), cause: failed}
	default:
		return failed
	}
}
