//! Every metric's name, once. Renaming one breaks people's dashboards: see CHANGELOG before touching.

pub const INBOUND_MESSAGES: &str = "trunkline_inbound_messages_total";
pub const LAST_INBOUND: &str = "trunkline_last_inbound_timestamp_seconds";
pub const HTTP_REQUESTS: &str = "trunkline_http_requests_total";
pub const HTTP_DURATION: &str = "trunkline_http_request_duration_seconds";
pub const OUTBOUND_MESSAGES: &str = "trunkline_outbound_messages_total";
pub const PROVIDER_DURATION: &str = "trunkline_provider_request_duration_seconds";
pub const DELIVERY_STATUS: &str = "trunkline_delivery_status_total";
pub const RELAY_DURATION: &str = "trunkline_relay_duration_seconds";
pub const RATE_WAIT: &str = "trunkline_rate_wait_duration_seconds";
pub const LANE_MESSAGES: &str = "trunkline_lane_messages";
pub const LANE_OLDEST: &str = "trunkline_lane_oldest_message_age_seconds";
pub const LANES: &str = "trunkline_lanes";
pub const LANE_RESTARTS: &str = "trunkline_lane_restarts_total";
pub const DUPLICATE_SENDS: &str = "trunkline_duplicate_sends_total";
pub const OVERLOAD: &str = "trunkline_overload_rejections_total";
pub const COMMIT_DURATION: &str = "trunkline_commit_duration_seconds";
pub const COMMIT_BATCH: &str = "trunkline_commit_batch_size";
pub const COMMIT_CONFLICTS: &str = "trunkline_commit_conflicts_total";
pub const BINDINGS: &str = "trunkline_bindings";
pub const CONFIG_RELOADS: &str = "trunkline_config_reloads_total";
pub const CONFIG_LAST_SUCCESSFUL: &str = "trunkline_config_last_reload_successful";
pub const CONFIG_LAST_SUCCESS_TIME: &str = "trunkline_config_last_reload_success_timestamp_seconds";
pub const STORE_BYTES: &str = "trunkline_store_bytes";
pub const DISK_FREE: &str = "trunkline_disk_free_bytes";
pub const BUILD_INFO: &str = "trunkline_build_info";
