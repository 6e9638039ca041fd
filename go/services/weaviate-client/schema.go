package main

import "uait.dev/go/kit/value"

// registryClass is the Weaviate class in which the collections themselves are kept.
const registryClass = "UaitRegistry"

// object is a JSON object of Weaviate's REST interface.
type object = map[string]any

// classOf is the Weaviate class of a collection, as REST creates it.
func classOf(c Collection) object {
	properties := []object{text(recordProperty, "", false), text(presentProperty, "field", true)}
	properties[1]["dataType"] = []string{"text[]"}
	for place, property := range c.Spec.Properties {
		if property.Searchable {
			searched := text(searchName(place), "word", false)
			searched["indexSearchable"] = true
			if property.Kind == value.Words {
				searched["dataType"] = []string{"text[]"}
			}
			properties = append(properties, searched)
		}
		if !property.Filterable {
			continue
		}
		filtered := object{"name": filterName(place), "indexFilterable": true}
		switch property.Kind {
		case value.Text:
			filtered = text(filterName(place), "field", true)
		case value.Words:
			filtered = text(filterName(place), "field", true)
			filtered["dataType"] = []string{"text[]"}
			properties = append(properties, text(listName(place), "field", true))
		case value.Integer:
			filtered["dataType"] = []string{"int"}
		case value.Number:
			filtered["dataType"] = []string{"number"}
		case value.Flag:
			filtered["dataType"] = []string{"boolean"}
		case value.Time:
			filtered["dataType"] = []string{"date"}
		}
		properties = append(properties, filtered)
	}
	vectors := object{}
	for place, vector := range c.Spec.Vectors {
		vectors[vectorName(place)] = vectorConfig(vector)
	}
	return object{
		"class":               c.Class(),
		"description":         c.Name,
		"properties":          properties,
		"vectorConfig":        vectors,
		"multiTenancyConfig":  object{"enabled": true, "autoTenantCreation": false, "autoTenantActivation": false},
		"invertedIndexConfig": object{"stopwords": object{"preset": "none"}},
	}
}

// registryClassOf is the class of the registry: a record of each collection, found by its tenant.
func registryClassOf() object {
	return object{
		"class":             registryClass,
		"description":       "the collections of every tenant",
		"properties":        []object{text(recordProperty, "", false), text("tenant", "field", true)},
		"vectorIndexType":   "hnsw",
		"vectorizer":        "none",
		"vectorIndexConfig": object{"skip": true},
	}
}

func text(name, tokenization string, filterable bool) object {
	property := object{"name": name, "dataType": []string{"text"}, "indexFilterable": filterable, "indexSearchable": false}
	if tokenization != "" {
		property["tokenization"] = tokenization
	}
	return property
}

var metricNames = map[Metric]string{Cosine: "cosine", Dot: "dot", SquaredEuclidean: "l2-squared"}

var quantizationNames = map[Quantization]string{Binary: "bq", Scalar: "sq", Product: "pq", Rotational: "rq"}

func vectorConfig(vector VectorIndex) object {
	// Weaviate quantizes by itself where nobody says otherwise.
	index := object{"distance": metricNames[vector.Metric], "skipDefaultQuantization": true}
	if name, chosen := quantizationNames[vector.Quantization]; chosen {
		index[name] = object{"enabled": true}
	}
	kind := "flat"
	if !vector.Flat {
		kind = "hnsw"
		index["maxConnections"] = orDefault(vector.MaxConnections, 32)
		index["efConstruction"] = orDefault(vector.EfConstruction, 128)
		index["ef"] = orDefault(vector.Ef, -1)
	}
	return object{"vectorizer": object{"none": object{}}, "vectorIndexType": kind, "vectorIndexConfig": index}
}

func orDefault(number, otherwise int) int {
	if number == 0 {
		return otherwise
	}
	return number
}
