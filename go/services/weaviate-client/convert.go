package main

import (
	"fmt"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/value"
)

func specFromProto(sent *weaviatev1.CollectionSpec) Spec {
	spec := Spec{Description: sent.GetDescription()}
	for _, p := range sent.GetProperties() {
		spec.Properties = append(spec.Properties, Property{
			Name: p.GetName(), Kind: value.Kind(p.GetType()), Searchable: p.GetSearchable(), Filterable: p.GetFilterable(),
		})
	}
	for _, v := range sent.GetVectors() {
		index := VectorIndex{Name: v.GetName(), Dimensions: int(v.GetDimensions()), Metric: Metric(orDefault(int(v.GetMetric()), int(Cosine)))}
		switch kind := v.GetIndex().(type) {
		case *weaviatev1.CollectionSpec_VectorIndex_Flat:
			index.Flat, index.Quantization = true, Quantization(kind.Flat.GetQuantization())
		case *weaviatev1.CollectionSpec_VectorIndex_Hnsw:
			index.Quantization = Quantization(kind.Hnsw.GetQuantization())
			index.MaxConnections, index.EfConstruction = int(kind.Hnsw.GetMaxConnections()), int(kind.Hnsw.GetEfConstruction())
			index.Ef = int(kind.Hnsw.GetEf())
		}
		spec.Vectors = append(spec.Vectors, index)
	}
	return spec
}

func collectionProto(c Collection, objects int64) *weaviatev1.Collection {
	spec := &weaviatev1.CollectionSpec{Description: c.Spec.Description}
	for _, p := range c.Spec.Properties {
		spec.Properties = append(spec.Properties, &weaviatev1.CollectionSpec_Property{
			Name: p.Name, Type: weaviatev1.CollectionSpec_Type(p.Kind), Searchable: p.Searchable, Filterable: p.Filterable,
		})
	}
	for _, v := range c.Spec.Vectors {
		index := &weaviatev1.CollectionSpec_VectorIndex{
			Name: v.Name, Dimensions: int32(v.Dimensions), Metric: weaviatev1.CollectionSpec_Metric(v.Metric),
		}
		quantization := weaviatev1.CollectionSpec_Quantization(v.Quantization)
		if v.Flat {
			index.Index = &weaviatev1.CollectionSpec_VectorIndex_Flat{Flat: &weaviatev1.CollectionSpec_Flat{Quantization: quantization}}
		} else {
			index.Index = &weaviatev1.CollectionSpec_VectorIndex_Hnsw{Hnsw: &weaviatev1.CollectionSpec_Hnsw{
				MaxConnections: int32(v.MaxConnections), EfConstruction: int32(v.EfConstruction), Ef: int32(v.Ef), Quantization: quantization,
			}}
		}
		spec.Vectors = append(spec.Vectors, index)
	}
	return &weaviatev1.Collection{Name: c.Name, Spec: spec, Objects: objects, CreateTime: timestamppb.New(c.CreateTime)}
}

func objectFromProto(sent *weaviatev1.VectorObject) (Object, error) {
	properties, err := value.MapFromProto("properties", sent.GetProperties())
	if err != nil {
		return Object{}, err
	}
	object := Object{ID: sent.GetObjectId(), Properties: properties, Vectors: map[string][]float32{}}
	for name, vector := range sent.GetVectors() {
		object.Vectors[name] = vector.GetValues()
	}
	return object, nil
}

func objectProto(o Object) *weaviatev1.VectorObject {
	sent := &weaviatev1.VectorObject{
		ObjectId: o.ID, Properties: value.MapProto(o.Properties), UpdateTime: timestamppb.New(o.UpdateTime),
	}
	for name, vector := range o.Vectors {
		if sent.Vectors == nil {
			sent.Vectors = map[string]*typesv1.Vector{}
		}
		sent.Vectors[name] = &typesv1.Vector{Values: vector}
	}
	return sent
}

// queryFromProto reads a search of a collection with this specification.
//
// Errors: kindConflict, kindInvalid, EXPRESSION_INVALID.
func (s Spec) queryFromProto(request *weaviatev1.SearchRequest) (Query, error) {
	filter, err := value.FilterFromProto("filter", request.GetFilter())
	if err != nil {
		return Query{}, err
	}
	query := Query{
		Filter: filter, Limit: orDefault(int(request.GetLimit()), defaultLimit), Vectors: request.GetIncludeVectors(),
		GroupBy: request.GetGroupBy(), GroupLimit: orDefault(int(request.GetGroupLimit()), 1), VectorWeight: defaultWeight,
	}
	if query.GroupBy != "" {
		if _, found := s.property(query.GroupBy); !found {
			return Query{}, &vectorError{kind: kindConflict, name: "group_by", detail: fmt.Sprintf("the collection has no property %q", query.GroupBy)}
		}
	}
	switch kind := request.GetQuery().(type) {
	case *weaviatev1.SearchRequest_Near_:
		query.Near, err = s.nearFromProto("near", kind.Near)
	case *weaviatev1.SearchRequest_Keyword_:
		query.Keyword, err = s.keywordFromProto("keyword", kind.Keyword)
	case *weaviatev1.SearchRequest_Hybrid_:
		if kind.Hybrid.VectorWeight != nil {
			query.VectorWeight = kind.Hybrid.GetVectorWeight()
		}
		query.Relative = kind.Hybrid.GetFusion() == weaviatev1.SearchRequest_FUSION_RELATIVE_SCORE
		if query.Near, err = s.nearFromProto("hybrid.near", kind.Hybrid.GetNear()); err != nil {
			return Query{}, err
		}
		query.Keyword, err = s.keywordFromProto("hybrid.keyword", kind.Hybrid.GetKeyword())
	}
	return query, err
}

func (s Spec) nearFromProto(field string, sent *weaviatev1.SearchRequest_Near) (*Near, error) {
	place, err := s.vector(field+".vector_name", sent.GetVectorName())
	if err != nil {
		return nil, err
	}
	near := &Near{Vector: sent.GetVector().GetValues(), Place: place}
	if sent.MaxDistance != nil {
		most := sent.GetMaxDistance()
		near.MaxDistance = &most
	}
	return near, checkVector(field+".vector", near.Vector, s.Vectors[place].Dimensions)
}

func (s Spec) keywordFromProto(field string, sent *weaviatev1.SearchRequest_Keyword) (*Keyword, error) {
	keyword := &Keyword{Text: sent.GetText()}
	for i, name := range sent.GetProperties() {
		place, found := s.property(name)
		if !found || !s.Properties[place].Searchable {
			return nil, &vectorError{kind: kindConflict, name: fmt.Sprintf("%s.properties[%d]", field, i), detail: fmt.Sprintf("the collection has no searchable property %q", name)}
		}
		keyword.Places = append(keyword.Places, place)
	}
	for place, property := range s.Properties {
		if len(sent.GetProperties()) == 0 && property.Searchable {
			keyword.Places = append(keyword.Places, place)
		}
	}
	if len(keyword.Places) == 0 {
		return nil, &vectorError{kind: kindConflict, name: field, detail: "the collection has no searchable property"}
	}
	return keyword, nil
}

// deletionFromProto reads what to delete, and whether to.
//
// Errors: kindConflict, EXPRESSION_INVALID.
func (s Spec) deletionFromProto(request *weaviatev1.DeleteRequest) (filters *pb.Filters, apply bool, err error) {
	if ids := request.GetIds().GetObjectIds(); len(ids) > 0 {
		uuids := make([]string, len(ids))
		for i, id := range ids {
			uuids[i] = uuidOf(id)
		}
		return byID(uuids), true, nil
	}
	filter, err := value.FilterFromProto("matching.filter", request.GetMatching().GetFilter())
	if err != nil {
		return nil, false, err
	}
	if len(filter) == 0 {
		return nil, false, &vectorError{kind: kindConflict, name: "matching.filter", detail: "must have a clause: DeleteTenant deletes everything"}
	}
	filters, err = s.filters(filter)
	return filters, request.GetMatching().GetApply(), err
}

// groupable is the place of a property that Aggregate can group by.
func (s Spec) groupable(name string) (int, error) {
	place, found := s.property(name)
	if found && s.Properties[place].Filterable {
		switch s.Properties[place].Kind {
		case value.Text, value.Integer, value.Number, value.Flag:
			return place, nil
		case value.Time, value.Words:
		}
	}
	return 0, &vectorError{kind: kindConflict, name: "group_by", detail: fmt.Sprintf("%q is no filterable text, number or flag of the collection", name)}
}

// summable is the place of a property that Aggregate can sum up.
func (s Spec) summable(field, name string) (int, error) {
	place, found := s.property(name)
	if found && s.Properties[place].Filterable && (s.Properties[place].Kind == value.Integer || s.Properties[place].Kind == value.Number) {
		return place, nil
	}
	return 0, &vectorError{kind: kindConflict, name: field, detail: fmt.Sprintf("%q is no filterable integer or number of the collection", name)}
}

func rowsProto(rows []Row) []*weaviatev1.AggregateResponse_Row {
	sent := make([]*weaviatev1.AggregateResponse_Row, len(rows))
	for i, row := range rows {
		sent[i] = &weaviatev1.AggregateResponse_Row{Group: row.Group.Proto(), Objects: row.Objects}
		for _, s := range row.Summaries {
			sent[i].Summaries = append(sent[i].Summaries, &weaviatev1.AggregateResponse_Summary{
				Property: s.Property, Count: s.Count, Minimum: s.Minimum, Maximum: s.Maximum, Mean: s.Mean, Sum: s.Sum,
			})
		}
	}
	return sent
}
