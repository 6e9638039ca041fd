package main

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Descriptors describe every service of the mesh, so that one reflection service can answer for all of them.
type Descriptors struct {
	files    *protoregistry.Files
	services []string
}

// LoadDescriptors reads a FileDescriptorSet, as `buf build -o` writes it: every file with all that it imports.
func LoadDescriptors(path string) (*Descriptors, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, fmt.Errorf("%s is no FileDescriptorSet: %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s is no complete FileDescriptorSet: %w", path, err)
	}
	d := &Descriptors{files: files}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			d.services = append(d.services, string(file.Services().Get(i).FullName()))
		}
		return true
	})
	if len(d.services) == 0 {
		return nil, fmt.Errorf("%s describes no service", path)
	}
	return d, nil
}

// Reflection is what the reflection service lists and describes: the mesh's services, and in addition what every
// service of the mesh serves itself (own: health and reflection).
func (d *Descriptors) Reflection(own ...string) reflection.ServerOptions {
	return reflection.ServerOptions{Services: serviceNames(append(own, d.services...)), DescriptorResolver: d}
}

// FindFileByPath finds a file of the mesh, or else one that is linked into this program, such as grpc.health.v1's.
func (d *Descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	file, err := d.files.FindFileByPath(path)
	if errors.Is(err, protoregistry.NotFound) {
		return protoregistry.GlobalFiles.FindFileByPath(path)
	}
	return file, err
}

// FindDescriptorByName finds a symbol of the mesh, or else one that is linked into this program.
func (d *Descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	descriptor, err := d.files.FindDescriptorByName(name)
	if errors.Is(err, protoregistry.NotFound) {
		return protoregistry.GlobalFiles.FindDescriptorByName(name)
	}
	return descriptor, err
}

// serviceNames lists services by name, as the reflection service asks for them.
type serviceNames []string

// GetServiceInfo returns the names; the reflection service looks at nothing else.
func (names serviceNames) GetServiceInfo() map[string]grpc.ServiceInfo {
	services := make(map[string]grpc.ServiceInfo, len(names))
	for _, name := range names {
		services[name] = grpc.ServiceInfo{}
	}
	return services
}
