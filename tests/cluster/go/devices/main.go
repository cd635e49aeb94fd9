// Devices is a device plugin whose devices are as healthy as a file says, so that a test sees what a kubelet does.
//
//	devices RESOURCE FILE
//
// FILE holds two numbers and a word: how many devices there are, how many of them are healthy, and whether the
// plugin hands them out (`allocate`), does so once since the file was written (`once`), or answers every request
// with an error (`refuse`). It is read ten times a second.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	socket = "test-devices.sock"
	poll   = 100 * time.Millisecond
)

type state struct {
	total, healthy int
	answer         string
}

type plugin struct {
	api.UnimplementedDevicePluginServer
	file string

	lock   sync.Mutex
	handed time.Time // when the file was written at the last request that got devices
}

func (p *plugin) read() (state, error) {
	var now state
	text, err := os.ReadFile(p.file)
	if err != nil {
		return now, err
	}
	_, err = fmt.Sscan(string(text), &now.total, &now.healthy, &now.answer)
	return now, err
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	var sent state
	for stream.Context().Err() == nil {
		if now, err := p.read(); err == nil && now != sent {
			response := &api.ListAndWatchResponse{}
			for i := range now.total {
				health := api.Unhealthy
				if i < now.healthy {
					health = api.Healthy
				}
				response.Devices = append(response.Devices, &api.Device{ID: fmt.Sprintf("device-%d", i), Health: health})
			}
			if err := stream.Send(response); err != nil {
				return err
			}
			log.Printf("%d devices, %d healthy, %s", now.total, now.healthy, now.answer)
			sent = now
		}
		time.Sleep(poll)
	}
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	now, err := p.read()
	if err != nil {
		return nil, err
	}
	file, err := os.Stat(p.file)
	if err != nil {
		return nil, err
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	if now.answer == "refuse" || now.answer == "once" && p.handed.Equal(file.ModTime()) {
		return nil, fmt.Errorf("the devices are not back yet")
	}
	p.handed = file.ModTime()
	response := &api.AllocateResponse{}
	for range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{})
	}
	return response, nil
}

// register tells the kubelet of a resource; it answers once it has called back.
func register(resource string) error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	_, err = api.NewRegistrationClient(connection).Register(context.Background(), request)
	return err
}

// serve registers the plugin and returns once its socket is gone, which a kubelet that starts removes.
func serve(resource string, devices *plugin) error {
	path := filepath.Join(api.DevicePluginPath, socket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	defer server.Stop()
	api.RegisterDevicePluginServer(server, devices)
	go server.Serve(listener)
	if err := register(resource); err != nil {
		return err
	}
	log.Printf("%s is registered", resource)
	for {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		time.Sleep(poll)
	}
}

func main() {
	devices := &plugin{file: os.Args[2]}
	for {
		if err := serve(os.Args[1], devices); err != nil {
			log.Print(err)
		}
		time.Sleep(poll)
	}
}
