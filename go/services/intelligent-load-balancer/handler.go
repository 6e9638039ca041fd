package main

import (
	"context"
	"net/netip"

	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

// defaultPageSize is the page size of a ListEndpoints that asks for none.
const defaultPageSize = 100

// Handler answers BalancerService: check, call the domain, convert.
type Handler struct {
	balancerv1.UnsafeBalancerServiceServer

	Registry *Registry
	Leases   *Leases
	Picker   *Picker
	// Draining is closed when the process begins to end: streams, which would never end by themselves, end with it.
	Draining <-chan struct{}
}

var _ balancerv1.BalancerServiceServer = (*Handler)(nil)

// Pick chooses one healthy endpoint of a service.
func (h *Handler) Pick(_ context.Context, request *balancerv1.PickRequest) (*balancerv1.PickResponse, error) {
	wish := fromPick(request)
	chosen, err := h.Picker.Pick(h.candidates(wish.Service), wish)
	if err != nil {
		return nil, err
	}
	return &balancerv1.PickResponse{Endpoint: toEndpointStatus(chosen)}, nil
}

// ExplainPick tells what Pick weighs.
func (h *Handler) ExplainPick(_ context.Context, request *balancerv1.ExplainPickRequest) (*balancerv1.ExplainPickResponse, error) {
	wish := fromPick(request.GetPick())
	candidates, err := Explain(h.candidates(wish.Service), wish)
	if err != nil {
		return nil, err
	}
	response := &balancerv1.ExplainPickResponse{}
	for _, candidate := range candidates {
		response.Candidates = append(response.Candidates, &balancerv1.ExplainPickResponse_Candidate{
			Endpoint:    toEndpointStatus(candidate.Status),
			Probability: candidate.Probability,
			Reasons:     candidate.Reasons,
		})
	}
	return response, nil
}

func (h *Handler) candidates(service string) []Status {
	return withoutShadowed(h.Registry.List(service))
}

// ListEndpoints lists endpoints by service and instance.
func (h *Handler) ListEndpoints(_ context.Context, request *balancerv1.ListEndpointsRequest) (*balancerv1.ListEndpointsResponse, error) {
	size := int(request.GetPageSize())
	if size == 0 {
		size = defaultPageSize
	}
	service := request.GetService()
	shown, next, err := page(h.Registry.List(service), service, request.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	response := &balancerv1.ListEndpointsResponse{NextPageToken: next}
	for _, status := range shown {
		response.Endpoints = append(response.Endpoints, toEndpointStatus(status))
	}
	return response, nil
}

// GetForecast is part of the contract, not yet of the balancer.
func (h *Handler) GetForecast(context.Context, *balancerv1.GetForecastRequest) (*balancerv1.GetForecastResponse, error) {
	return nil, &Error{Kind: KindNotImplemented, What: "GetForecast"}
}

// registration is the endpoint of a lease's first message.
func registration(message *balancerv1.RegisterEndpointRequest) (Endpoint, error) {
	register := message.GetRegister()
	if register == nil {
		return Endpoint{}, &Error{Kind: KindActionInvalid, What: "must be register in the first message"}
	}
	if address, err := netip.ParseAddr(register.GetHost()); err != nil || address.IsUnspecified() {
		return Endpoint{}, &Error{Kind: KindHostUnspecified}
	}
	return fromEndpoint(register), nil
}
