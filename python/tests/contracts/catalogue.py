"""The catalogue's RPCs: what each gRPC service offers, in order, and which way it streams.

`>` marks a stream of requests, `<` a stream of responses.
"""

# Weaviate's "tenants" have no names in the catalogue: GetTenant, UpdateTenant and DeleteTenant, all about the caller's.
_TABLE = """
uait.ab_mcts.v1.AbMctsService
    CreateSearch Ask Tell >Search< GetSearch ListSearches TopK Recommend Feedback WatchSearch< DeleteSearch
uait.intelligent_parameter.v1.ParameterService
    GetParameters RecordFeedback SamplePosterior
uait.intelligent_parameter.v1.StudyService
    CreateStudy GetStudy ListStudies DeleteStudy SuggestTrials AddMeasurement CompleteTrial StopTrial
    CheckEarlyStop ListTrials ListOptimalTrials
uait.parameter_analytics.v1.AnalyticsService
    RecordExecution QueryEffectiveness GetTrends GetForecast ListAnomalies GetImportance GetInsights
    WatchMetrics<
uait.ml_inference.v1.InferenceService
    Generate< Chat< Embed Rerank ListModels GetModel LoadModel UnloadModel GetStatistics
uait.agent_coordination.v1.AgentService
    RegisterAgent Heartbeat ListAgents FindAgents
uait.agent_coordination.v1.TaskService
    SubmitTask GetTask ListTasks CancelTask SignalTask WatchTask<
uait.agent_coordination.v1.WorkerService
    >Work<
uait.vision_processor.v1.VisionService
    Transform >TransformStream< Analyze Embed FindSimilar BatchTransform< GetCapabilities
uait.intelligent_load_balancer.v1.BalancerService
    >RegisterEndpoint< Pick ListEndpoints WatchEndpoints< ExplainPick GetForecast
uait.memory.v1.MemoryService
    Store BatchStore Get Update Delete List Search GetHistory Consolidate PurgeTenant GetStats WatchMemories<
uait.file_management.v1.FileService
    >Upload Download< Stat List Search Move Copy Delete Organize Verify GetUsage
uait.websocket_hub.v1.HubService
    Publish Broadcast Subscribe< ListPresence GetHistory Disconnect IssueToken
uait.weaviate_client.v1.VectorService
    CreateCollection GetCollection ListCollections DeleteCollection >Upsert< Search Aggregate Delete GetTenant
    UpdateTenant DeleteTenant Backup Restore
uait.gateway.v1.AuthService
    IssueKey ListKeys RevokeKey
uait.gateway.v1.MonitoringService
    GetMeshHealth ListBreakers ResetBreaker GetTopology
uait.orchestrator.v1.OrchestratorService
    Run< GetRun ListRuns CancelRun RecordFeedback
uait.orchestrator.v1.DspyOrchestratorService
    Orchestrate ExtractKnowledge OptimizePrompt CoordinateAgents
uait.orchestrator.v1.AbMctsBridgeService
    Orchestrate<
uait.agent_selector.v1.AgentSelectorService
    SelectAgent ExecuteWithBestAgent RecordOutcome
uait.llm_router.v1.LlmRouterService
    Generate< ListModels GetRouting GetUsage SetBudget
uait.context.v1.ContextStorageService
    StoreContext GetContext UpdateContext SearchContext DeleteContext GetStats
uait.context.v1.ContextInjectionService
    Enrich
uait.dspy.v1.DspyService
    Compile< Predict Evaluate ListPrograms GetProgram DeleteProgram
uait.mlx.v1.MlxService
    Generate< Embed FineTune< ListAdapters DeleteAdapter Evaluate
uait.vision_analysis.v1.VisionAnalysisService
    Ocr AnalyzeDocument DetectObjects DescribeImage
uait.echo.v1.EchoService
    Echo >Collect Expand< >Converse< Relay Publish AwaitEvent AwaitOutcome
"""


def _read(table: str) -> dict[str, list[str]]:
    services: dict[str, list[str]] = {}
    for line in table.strip().splitlines():
        if line.startswith(" "):
            services[next(reversed(services))] += line.split()
        else:
            services[line] = []
    return services


RPCS = _read(_TABLE)
