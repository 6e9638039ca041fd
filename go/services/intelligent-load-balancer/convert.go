package main

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

// overprovisioning keeps all calls on EDS while one endpoint of a hundred is healthy. With Envoy's default of 140 % an
// aggregate cluster sends 30 % of the calls to its static member as soon as one endpoint of two is unhealthy, and the
// static address may be the very one that is down.
const overprovisioning = 10_000

func fromEndpoint(endpoint *balancerv1.Endpoint) Endpoint {
	return Endpoint{
		Service:  endpoint.GetService(),
		Instance: endpoint.GetInstance(),
		Host:     endpoint.GetHost(),
		Port:     uint16(endpoint.GetPort()),
		Zone:     endpoint.GetZone(),
	}
}

func fromUtilisation(utilisation *balancerv1.Utilisation) Utilisation {
	return Utilisation{
		CPU:         utilisation.GetCpu(),
		Memory:      utilisation.GetMemory(),
		Application: utilisation.GetApplication(),
		RPS:         utilisation.GetRps(),
		EPS:         utilisation.GetEps(),
	}
}

func fromPick(pick *balancerv1.PickRequest) Wish {
	return Wish{Service: pick.GetService(), Zone: pick.GetZone(), Affinity: pick.GetAffinityKey()}
}

func toEndpointStatus(status Status) *balancerv1.EndpointStatus {
	message := &balancerv1.EndpointStatus{
		Endpoint: &balancerv1.Endpoint{
			Service:  status.Endpoint.Service,
			Instance: status.Endpoint.Instance,
			Host:     status.Endpoint.Host,
			Port:     uint32(status.Endpoint.Port),
			Zone:     status.Endpoint.Zone,
		},
		State: toState(status.State),
		Since: timestamppb.New(status.Since),
	}
	if u := status.Utilisation; u != nil {
		message.Utilisation = &balancerv1.Utilisation{Cpu: u.CPU, Memory: u.Memory, Application: u.Application, Rps: u.RPS, Eps: u.EPS}
	}
	return message
}

func toState(state State) balancerv1.EndpointState {
	switch state {
	case StatePending:
		return balancerv1.EndpointState_ENDPOINT_STATE_PENDING
	case StateHealthy:
		return balancerv1.EndpointState_ENDPOINT_STATE_HEALTHY
	case StateUnhealthy:
		return balancerv1.EndpointState_ENDPOINT_STATE_UNHEALTHY
	}
	return balancerv1.EndpointState_ENDPOINT_STATE_UNSPECIFIED
}

// toClusterLoadAssignment gives each zone a locality and each endpoint its health and the weight 1.
func toClusterLoadAssignment(assignment Assignment) *endpointv3.ClusterLoadAssignment {
	message := &endpointv3.ClusterLoadAssignment{
		ClusterName: assignment.Service,
		Policy:      &endpointv3.ClusterLoadAssignment_Policy{OverprovisioningFactor: wrapperspb.UInt32(overprovisioning)},
	}
	var locality *endpointv3.LocalityLbEndpoints
	for _, member := range assignment.Members { // ordered by zone
		if locality == nil || locality.GetLocality().GetZone() != member.Endpoint.Zone {
			locality = &endpointv3.LocalityLbEndpoints{Locality: &core.Locality{Zone: member.Endpoint.Zone}}
			message.Endpoints = append(message.Endpoints, locality)
		}
		locality.LbEndpoints = append(locality.LbEndpoints, toLbEndpoint(member))
	}
	return message
}

func toLbEndpoint(member Member) *endpointv3.LbEndpoint {
	health := core.HealthStatus_UNHEALTHY
	if member.Healthy {
		health = core.HealthStatus_HEALTHY
	}
	return &endpointv3.LbEndpoint{
		HealthStatus:        health,
		LoadBalancingWeight: wrapperspb.UInt32(1),
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
				Address:       member.Endpoint.Host,
				PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(member.Endpoint.Port)},
			}}},
		}},
	}
}
