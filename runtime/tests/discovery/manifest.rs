//! The example for Kubernetes: it parses, agrees with itself, and its settings are ones that a
//! node takes. No cluster is asked.

use std::collections::BTreeMap;
use std::path::Path;

use chil::config::{Discovery, Layers};
use serde_json::Value;

fn documents() -> BTreeMap<String, Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes/chil.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let kind = |document: Value| (document["kind"].as_str().unwrap().to_owned(), document);
    documents.into_iter().map(kind).collect()
}

fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    let found = document.pointer(pointer);
    found.unwrap_or_else(|| panic!("nothing at {pointer} in {document:#}"))
}

/// The environment of the pod of this name, as the kubelet would make it.
fn environment(set: &Value, pod: &str) -> Vec<(String, String)> {
    let variables = at(set, "/spec/template/spec/containers/0/env");
    let own = |path: &str| match path {
        "metadata.name" => pod.to_owned(),
        "metadata.namespace" => "default".to_owned(),
        _ => panic!("no field {path}"),
    };
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in variables.as_array().unwrap() {
        let value = match variable.pointer("/valueFrom/fieldRef/fieldPath") {
            Some(path) => own(path.as_str().unwrap()),
            None => known.iter().fold(
                at(variable, "/value").as_str().unwrap().to_owned(),
                |value, (name, known)| value.replace(&format!("$({name})"), known),
            ),
        };
        assert!(
            !value.contains("$("),
            "{value}: Kubernetes replaces only what stands before"
        );
        known.push((at(variable, "/name").as_str().unwrap().to_owned(), value));
    }
    known
}

#[test]
fn every_pod_has_settings_that_a_node_takes_and_means_the_same_cluster() {
    let documents = documents();
    let set = &documents["StatefulSet"];
    let replicas = at(set, "/spec/replicas").as_u64().unwrap();
    let name = at(set, "/metadata/name").as_str().unwrap();
    let pods: Vec<String> = (0..replicas).map(|i| format!("{name}-{i}")).collect();
    for pod in &pods {
        let settings = Layers::new().env(environment(set, pod)).unwrap().finish();
        let settings = settings.unwrap_or_else(|error| panic!("{pod}: {error}"));
        assert_eq!(settings.node_id, *pod);
        let mut members: Vec<&str> = vec![pod];
        members.extend(
            settings
                .peers
                .iter()
                .map(|peer| peer.name.as_deref().unwrap()),
        );
        members.sort_unstable();
        assert_eq!(members, pods, "the peers of {pod}");
        let service = at(&documents["Service"], "/metadata/name")
            .as_str()
            .unwrap();
        let Discovery::Kubernetes {
            service: watched, ..
        } = settings.discovery
        else {
            panic!("{:?}", settings.discovery);
        };
        assert_eq!(watched, service);
        let advertised = settings.advertise_address.unwrap();
        assert!(
            advertised.starts_with(&format!("{pod}.{service}.default.svc.")),
            "{advertised}"
        );
    }
}

#[test]
fn the_service_shows_nodes_that_are_not_ready_and_the_account_may_watch_it() {
    let documents = documents();
    let (service, set) = (&documents["Service"], &documents["StatefulSet"]);
    assert_eq!(at(service, "/spec/clusterIP"), "None");
    assert_eq!(at(service, "/spec/publishNotReadyAddresses"), true);
    assert_eq!(
        at(service, "/spec/selector"),
        at(set, "/spec/template/metadata/labels")
    );
    assert_eq!(
        at(set, "/spec/selector/matchLabels"),
        at(set, "/spec/template/metadata/labels")
    );
    assert_eq!(at(set, "/spec/serviceName"), at(service, "/metadata/name"));
    assert_eq!(at(set, "/spec/podManagementPolicy"), "Parallel");
    let budget = at(
        &documents["PodDisruptionBudget"],
        "/spec/selector/matchLabels",
    );
    assert_eq!(budget, at(service, "/spec/selector"));
    let rules = at(&documents["Role"], "/rules/0");
    assert_eq!(at(rules, "/apiGroups/0"), "discovery.k8s.io");
    assert_eq!(at(rules, "/resources/0"), "endpointslices");
    assert_eq!(*at(rules, "/verbs"), serde_json::json!(["list", "watch"]));
    let binding = &documents["RoleBinding"];
    assert_eq!(
        at(binding, "/roleRef/name"),
        at(&documents["Role"], "/metadata/name")
    );
    let account = at(set, "/spec/template/spec/serviceAccountName");
    assert_eq!(at(binding, "/subjects/0/name"), account);
    assert_eq!(at(&documents["ServiceAccount"], "/metadata/name"), account);
    let container = at(set, "/spec/template/spec/containers/0");
    let claim = at(set, "/spec/volumeClaimTemplates/0/metadata/name");
    assert_eq!(at(container, "/volumeMounts/0/name"), claim);
    let secret = at(set, "/spec/template/spec/volumes/0/name");
    assert_eq!(at(container, "/volumeMounts/1/name"), secret);
    let port = at(service, "/spec/ports/0/port");
    assert_eq!(at(container, "/ports/0/containerPort"), port);
}
