"""Builders for Envoy bootstrap documents: plain dicts in Envoy's names, so that Envoy reads them too."""
import yaml

TYPE = "type.googleapis.com/"
HCM = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
TCP_PROXY = TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
UDP_PROXY = TYPE + "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"
UDP_ROUTE = TYPE + "envoy.extensions.filters.udp.udp_proxy.v3.Route"


class WithoutAliases(yaml.SafeDumper):
    """Configurations for machines: what stands twice is written twice."""

    def ignore_aliases(self, data):
        return True


def to_yaml(document):
    return yaml.dump(document, Dumper=WithoutAliases, sort_keys=False)


def socket_address(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


def bootstrap(listeners=(), clusters=(), admin_port=15000, **more):
    """A whole bootstrap document with static resources and an admin interface on loopback."""
    return {
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": socket_address("127.0.0.1", admin_port)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        **more,
    }


def cluster(name, *endpoints, **more):
    """A STATIC cluster; endpoints are (address, port)."""
    return {
        "name": name, "type": "STATIC", "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket_address(address, port)}} for address, port in endpoints]}]},
        **more,
    }


def route(prefix="/", to=None, **more):
    """A route by prefix (or `match` in more) to a cluster (or `route`, `redirect`, `direct_response` in more)."""
    made = {"match": {"prefix": prefix}}
    if to:
        made["route"] = {"cluster": to}
    made.update(more)
    return made


def virtual_host(*routes, name="all", domains=("*",), **more):
    return {"name": name, "domains": list(domains), "routes": list(routes), **more}


def http_listener(port, *virtual_hosts, name=None, address="0.0.0.0", listener=None, **more):
    """A listener with one HTTP connection manager; `more` goes into the manager, `listener` into the listener."""
    manager = {
        "@type": HCM, "stat_prefix": name or f"http_{port}", "codec_type": "AUTO",
        "route_config": {"name": f"routes_{port}", "virtual_hosts": list(virtual_hosts)},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **more,
    }
    return {
        "name": name or f"http_{port}", "address": socket_address(address, port),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
        **(listener or {}),
    }


def tcp_listener(port, to, name=None, address="0.0.0.0", listener=None, **more):
    """A listener that passes bytes to a cluster."""
    proxy = {"@type": TCP_PROXY, "stat_prefix": name or f"tcp_{port}", "cluster": to, **more}
    return {
        "name": name or f"tcp_{port}", "address": socket_address(address, port),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
        **(listener or {}),
    }


def udp_listener(port, to, name=None, address="0.0.0.0", largest=65535, listener=None, **more):
    """A listener that passes datagrams to a cluster."""
    name = name or f"udp_{port}"
    receiving = {"max_rx_datagram_size": largest}
    proxy = {"@type": UDP_PROXY, "stat_prefix": name, "upstream_socket_config": receiving,
             "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": {"@type": UDP_ROUTE, "cluster": to}}}}, **more}
    made = socket_address(address, port)
    made["socket_address"]["protocol"] = "UDP"
    return {"name": name, "address": made, "udp_listener_config": {"downstream_socket_config": receiving},
            "listener_filters": [{"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}], **(listener or {})}


def ads_bootstrap(address, clusters=(), listeners=(), admin_port=15000):
    """A bootstrap whose clusters and listeners come from a discovery server at (address, port)."""
    source = {"ads": {}, "resource_api_version": "V3"}
    server = cluster("xds", address, typed_extension_protocol_options={
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}})
    return bootstrap(listeners, [server, *clusters], admin_port, dynamic_resources={
        "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3",
                       "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
        "cds_config": source, "lds_config": source})


def eds_cluster(name, **more):
    """A cluster whose endpoints come by ADS."""
    return {"name": name, "type": "EDS", "connect_timeout": "2s",
            "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}}, **more}


def endpoints(name, *addresses):
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": socket_address(address, port)}} for address, port in addresses]}]}


def rds_listener(port, routes, **more):
    """An HTTP listener whose route table comes by ADS."""
    made = http_listener(port, **more)
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["route_config"]
    manager["rds"] = {"route_config_name": routes, "config_source": {"ads": {}, "resource_api_version": "V3"}}
    return made


def route_table(name, *virtual_hosts):
    return {"name": name, "virtual_hosts": list(virtual_hosts)}
