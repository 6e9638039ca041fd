package main

import (
	"context"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"uait.dev/go/kit/value"
)

// Row is a group of objects.
type Row struct {
	// Group is the value grouped by; none for no groups.
	Group value.Value
	// Objects is how many there are.
	Objects int64
	// Summaries are the properties, in the order of the question.
	Summaries []Summary
}

// Summary is a property over a group.
type Summary struct {
	Property                    string
	Count                       int64
	Minimum, Maximum, Mean, Sum float64
}

// count is how many objects a collection has.
func (w *weaviate) count(ctx context.Context, c Collection) (int64, error) {
	rows, err := w.aggregate(ctx, c, &pb.AggregateRequest{ObjectsCount: true}, nil, -1)
	if err != nil {
		return 0, err
	}
	return rows[0].Objects, nil
}

// aggregate sums up integer and number properties; groupBy is the place of a property, or -1.
func (w *weaviate) aggregate(ctx context.Context, c Collection, request *pb.AggregateRequest, places []int, groupBy int) ([]Row, error) {
	request.Collection, request.Tenant, request.ObjectsCount = c.Class(), c.Tenant, true
	for _, place := range places {
		summed := &pb.AggregateRequest_Aggregation{Property: filterName(place)}
		if c.Spec.Properties[place].Kind == value.Integer {
			summed.Aggregation = &pb.AggregateRequest_Aggregation_Int{Int: &pb.AggregateRequest_Aggregation_Integer{
				Count: true, Minimum: true, Maximum: true, Mean: true, Sum: true,
			}}
		} else {
			summed.Aggregation = &pb.AggregateRequest_Aggregation_Number_{Number: &pb.AggregateRequest_Aggregation_Number{
				Count: true, Minimum: true, Maximum: true, Mean: true, Sum: true,
			}}
		}
		request.Aggregations = append(request.Aggregations, summed)
	}
	if groupBy >= 0 {
		request.GroupBy = &pb.AggregateRequest_GroupBy{Collection: c.Class(), Property: filterName(groupBy)}
	}
	reply, err := ask(ctx, w, "Aggregate", func(ctx context.Context) (*pb.AggregateReply, error) { return w.objects.Aggregate(ctx, request) })
	if err != nil {
		return nil, err
	}
	if groupBy < 0 {
		single := reply.GetSingleResult()
		return []Row{{Objects: single.GetObjectsCount(), Summaries: c.summaries(places, single.GetAggregations())}}, nil
	}
	var rows []Row
	for _, group := range reply.GetGroupedResults().GetGroups() {
		rows = append(rows, Row{
			Group:   groupValue(c.Spec.Properties[groupBy].Kind, group.GetGroupedBy()),
			Objects: group.GetObjectsCount(), Summaries: c.summaries(places, group.GetAggregations()),
		})
	}
	return rows, nil
}

func (c Collection) summaries(places []int, aggregations *pb.AggregateReply_Aggregations) []Summary {
	var summaries []Summary
	for _, place := range places {
		summary := Summary{Property: c.Spec.Properties[place].Name}
		for _, got := range aggregations.GetAggregations() {
			if got.GetProperty() != filterName(place) {
				continue
			}
			if i := got.GetInt(); i != nil {
				summary.Count, summary.Mean = i.GetCount(), i.GetMean()
				summary.Minimum, summary.Maximum, summary.Sum = float64(i.GetMinimum()), float64(i.GetMaximum()), float64(i.GetSum())
			}
			if n := got.GetNumber(); n != nil {
				summary.Count, summary.Mean = n.GetCount(), n.GetMean()
				summary.Minimum, summary.Maximum, summary.Sum = n.GetMinimum(), n.GetMaximum(), n.GetSum()
			}
		}
		summaries = append(summaries, summary)
	}
	return summaries
}

func groupValue(kind value.Kind, group *pb.AggregateReply_Group_GroupedBy) value.Value {
	switch got := group.GetValue().(type) {
	case *pb.AggregateReply_Group_GroupedBy_Text:
		return value.OfText(inexact(got.Text))
	case *pb.AggregateReply_Group_GroupedBy_Int:
		return value.OfInteger(got.Int)
	case *pb.AggregateReply_Group_GroupedBy_Boolean:
		return value.OfFlag(got.Boolean)
	case *pb.AggregateReply_Group_GroupedBy_Number:
		if kind == value.Integer {
			return value.OfInteger(int64(got.Number))
		}
		return value.OfNumber(got.Number)
	default:
		return value.Value{}
	}
}
